//! The part of the S3 protocol that object_store's client speaks: how requests are read and answers written.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use std::ops::Range;

/// All objects were last modified then: nothing of Floe looks at it.
pub(super) const LAST_MODIFIED: &str = "Wed, 25 Nov 2026 09:00:00 GMT";
pub(super) const LAST_MODIFIED_ISO: &str = "2026-11-25T09:00:00.000Z";

/// `/bucket/key?name=value`, decoded; the key may be empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: String,
    pub(super) key: String,
    query: Vec<(String, String)>,
}

impl Target {
    pub(super) fn parse(uri: &Uri) -> Option<Self> {
        let path = percent_decode(uri.path().strip_prefix('/')?, false)?;
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let mut query = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.push((percent_decode(name, true)?, percent_decode(value, true)?));
        }
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), key: key.to_owned(), query })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    From(u64),
    Bounded(Range<u64>),
    Last(u64),
}

impl Wanted {
    /// A header that makes no sense asks for the whole object, as HTTP has it.
    pub(super) fn parse(headers: &HeaderMap) -> Self {
        let spec = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("bytes="));
        let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else { return Self::Whole };
        match (first.parse(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => Self::Bounded(first..last.saturating_add(1)),
            (Ok(first), Err(_)) if last.is_empty() => Self::From(first),
            (Err(_), Ok(last)) if first.is_empty() => Self::Last(last),
            _ => Self::Whole,
        }
    }

    /// The range within an object of `size`; `None` where there is none of it (416).
    pub(super) fn within(&self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Whole => return Some(0..size),
            Self::From(first) => *first..size,
            Self::Bounded(range) => range.start..range.end.min(size),
            Self::Last(len) => size.saturating_sub(*len)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    build(Response::builder().status(status), Body::empty())
}

/// An error as S3 writes it.
pub(super) fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message><RequestId>shaped</RequestId></Error>",
        escape(message)
    );
    build(Response::builder().status(status).header(header::CONTENT_TYPE, "application/xml"), Body::from(body))
}

/// A builder with valid parts always builds.
pub(super) fn build(builder: axum::http::response::Builder, body: Body) -> Response {
    builder.body(body).expect("constant header names and ASCII values")
}

/// Differs for bodies with different identities, which is all that a validator is used for here.
pub(super) fn etag(start: &[u8], size: u64) -> String {
    let hash = start.iter().take(64).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("\"{hash:016x}-{size:x}\"")
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_decoded() {
        let target = Target::parse(&"/bucket/a/b%20c+d?list-type=2&prefix=x%2Fy+z&uploads".parse().unwrap()).unwrap();
        assert_eq!((target.bucket.as_str(), target.key.as_str()), ("bucket", "a/b c+d"));
        assert_eq!((target.query("prefix"), target.query("uploads"), target.query("other")), (Some("x/y z"), Some(""), None));
        assert_eq!(Target::parse(&"/bucket".parse().unwrap()).unwrap().key, "");
        assert_eq!(Target::parse(&"/".parse().unwrap()), None);
        assert_eq!(Target::parse(&"/bucket/%zz".parse().unwrap()), None);
    }

    #[test]
    fn ranges_are_read_and_cut_to_the_object() {
        let wanted = |text: &str| Wanted::parse(&HeaderMap::from_iter([(header::RANGE, text.parse().unwrap())]));
        assert_eq!(wanted("bytes=0-63").within(100), Some(0..64));
        assert_eq!(wanted("bytes=90-200").within(100), Some(90..100));
        assert_eq!(wanted("bytes=100-200").within(100), None);
        assert_eq!(wanted("bytes=-10").within(100), Some(90..100));
        assert_eq!(wanted("bytes=-200").within(100), Some(0..100));
        assert_eq!(wanted("bytes=-10").within(0), None);
        assert_eq!(wanted("bytes=99-").within(100), Some(99..100));
        assert_eq!(wanted("bytes=5-3"), Wanted::Whole);
        assert_eq!(Wanted::parse(&HeaderMap::new()).within(0), Some(0..0));
    }
}
