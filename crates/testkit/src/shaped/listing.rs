//! ListObjectsV2 over a backend that lists folders.

use super::protocol::{LAST_MODIFIED_ISO, Target, escape};
use floe_objstore::{Backend, BackendError, ObjectInfo};
use std::fmt::Write;

/// Most entries of one answer.
const MOST: usize = 1000;

pub(super) struct Query {
    prefix: String,
    delimited: bool,
    after: Option<String>,
    max: usize,
}

/// Objects and common prefixes, in one order, and from where to go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    objects: Vec<ObjectInfo>,
    folders: Vec<String>,
    next: Option<String>,
}

impl Query {
    /// `Err` names the parameter that is not understood.
    pub(super) fn parse(target: &Target) -> Result<Self, &'static str> {
        let max = match target.query("max-keys") {
            None => MOST,
            Some(text) => text.parse::<usize>().map_err(|_| "max-keys")?.min(MOST),
        };
        let after = match target.query("continuation-token") {
            Some(token) => Some(from_hex(token).ok_or("continuation-token")?),
            None => target.query("start-after").map(str::to_owned),
        };
        let delimited = match target.query("delimiter") {
            None | Some("") => false,
            Some("/") => true,
            Some(_) => return Err("delimiter"),
        };
        Ok(Self { prefix: target.query("prefix").unwrap_or_default().to_owned(), delimited, after, max })
    }

    /// One answer's worth.
    pub(super) async fn page(&self, backend: &dyn Backend, bucket: &str) -> Result<Page, BackendError> {
        let mut page = Page::default();
        let folder = self.prefix.rsplit_once('/').map_or(bucket.to_owned(), |(folder, _)| format!("{bucket}/{folder}"));
        let root = format!("{bucket}/");
        let mut after = self.after.as_ref().map(|after| format!("{root}{after}"));
        loop {
            let wanted = self.max - page.len() + 1;
            let found = backend.list(&folder, after.as_deref(), wanted).await?;
            let exhausted = found.len() < wanted;
            let mut skipped = None;
            for object in found {
                let key = object.key.strip_prefix(&root).unwrap_or(&object.key).to_owned();
                after = Some(object.key);
                let Some(rest) = key.strip_prefix(&self.prefix) else { continue };
                if page.len() >= self.max {
                    return Ok(page);
                }
                match rest.split_once('/').filter(|_| self.delimited) {
                    Some((name, _)) => {
                        let common = format!("{}{name}/", self.prefix);
                        // Behind everything in this folder: keys are ASCII without control characters.
                        page.next = Some(format!("{common}\u{7f}"));
                        skipped = page.next.as_ref().map(|next| format!("{root}{next}"));
                        page.folders.push(common);
                    }
                    None => {
                        page.next = Some(key.clone());
                        page.objects.push(ObjectInfo { key, size: object.size });
                    }
                }
                if skipped.is_some() {
                    break;
                }
            }
            if skipped.is_none() && exhausted {
                page.next = None;
                return Ok(page);
            }
            after = skipped.or(after);
        }
    }
}

impl Page {
    fn len(&self) -> usize {
        self.objects.len() + self.folders.len()
    }

    pub(super) fn xml(&self, bucket: &str, query: &Query) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
            escape(bucket),
            escape(&query.prefix),
            self.len(),
            query.max,
            self.next.is_some()
        );
        for object in &self.objects {
            let key = escape(&object.key);
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>{LAST_MODIFIED_ISO}</LastModified><ETag>\"0\"</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                object.size
            );
        }
        for folder in &self.folders {
            let _ = write!(xml, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(folder));
        }
        if let Some(next) = &self.next {
            let _ = write!(xml, "<NextContinuationToken>{}</NextContinuationToken>", to_hex(next));
        }
        xml.push_str("</ListBucketResult>");
        xml
    }
}

fn to_hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(hex: &str) -> Option<String> {
    let digits = hex.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect()).flatten();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use floe_objstore::MemoryBackend;

    async fn pages(backend: &MemoryBackend, query: &str, max: usize) -> Vec<String> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let uri = format!("/b?list-type=2&max-keys={max}&{query}{token}").parse().unwrap();
            let query = Query::parse(&Target::parse(&uri).unwrap()).unwrap();
            let page = query.page(backend, "b").await.unwrap();
            assert!(page.len() <= max);
            let mut names: Vec<String> = page.objects.iter().map(|o| o.key.clone()).chain(page.folders.clone()).collect();
            names.sort_unstable();
            all.extend(names);
            match page.next {
                Some(next) => token = format!("&continuation-token={}", to_hex(&next)),
                None => return all,
            }
        }
    }

    #[tokio::test]
    async fn pages_of_any_size_give_the_whole_listing() {
        let backend = MemoryBackend::new();
        for key in ["a/1", "a/2", "a/x/1", "a/x/2", "a/x-y", "ab", "c/1", "c/2/3"] {
            backend.create(&format!("b/{key}"), Bytes::from_static(b"x").into()).await.unwrap();
        }
        backend.create("other/z", Bytes::from_static(b"x").into()).await.unwrap();
        for max in 1..10 {
            assert_eq!(pages(&backend, "", max).await, ["a/1", "a/2", "a/x-y", "a/x/1", "a/x/2", "ab", "c/1", "c/2/3"], "{max}");
            assert_eq!(pages(&backend, "prefix=a", max).await, ["a/1", "a/2", "a/x-y", "a/x/1", "a/x/2", "ab"], "{max}");
            assert_eq!(pages(&backend, "prefix=a/x", max).await, ["a/x-y", "a/x/1", "a/x/2"], "{max}");
            assert_eq!(pages(&backend, "delimiter=/", max).await, ["a/", "ab", "c/"], "{max}");
            assert_eq!(pages(&backend, "delimiter=%2F&prefix=a/", max).await, ["a/1", "a/2", "a/x-y", "a/x/"], "{max}");
            assert_eq!(pages(&backend, "start-after=a/x/1", max).await, ["a/x/2", "ab", "c/1", "c/2/3"], "{max}");
            assert_eq!(pages(&backend, "prefix=nothing/", max).await, [""; 0], "{max}");
        }
    }

    #[test]
    fn tokens_read_back() {
        assert_eq!(from_hex(&to_hex("a/~\u{7f}")).as_deref(), Some("a/~\u{7f}"));
        assert_eq!((from_hex("0"), from_hex("zz"), from_hex("ff")), (None, None, None));
    }
}
