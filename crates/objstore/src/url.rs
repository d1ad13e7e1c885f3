//! Where a store is: `file:///path`, `s3://bucket/prefix`, `memory://`.

use std::{fmt, path::PathBuf, str::FromStr};
use url::Url;

/// A text that names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a store: {reason}; expected file:///path, s3://bucket/prefix or memory://")]
pub struct InvalidUrl {
    pub url: String,
    pub reason: String,
}

/// The place of a store. Reads back as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A directory, which several processes of one machine may share.
    File { path: PathBuf },
    /// A bucket of an S3-compatible store; all keys go below `prefix` (no slashes at its ends; may be empty).
    S3 { bucket: String, prefix: String },
    /// This process's memory: for trying out.
    Memory,
}

impl FromStr for StoreUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason: &str| InvalidUrl { url: text.to_owned(), reason: reason.to_owned() };
        let url = Url::parse(text).map_err(|e| invalid(&e.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it takes no user, query or fragment: options are settings of their own"));
        }
        match url.scheme() {
            "file" => {
                let path = url.to_file_path().map_err(|()| invalid("the path must be absolute and on this machine"))?;
                Ok(Self::File { path })
            }
            "s3" => {
                let bucket = url.host_str().filter(|bucket| !bucket.is_empty()).ok_or_else(|| invalid("the bucket is missing"))?;
                if url.port().is_some() {
                    return Err(invalid("a port belongs to the endpoint setting"));
                }
                let prefix = url.path().trim_matches('/').to_owned();
                if !prefix.is_empty() && crate::backend::check_key(&prefix).is_err() {
                    return Err(invalid("a prefix is made of ASCII letters, digits, '-', '_', '.', '~' and single slashes"));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
            }
            "memory" if url.host_str().unwrap_or_default().is_empty() && url.path().trim_matches('/').is_empty() => Ok(Self::Memory),
            "memory" => Err(invalid("memory:// has no path")),
            other => Err(invalid(&format!("unknown scheme {other:?}"))),
        }
    }
}

impl StoreUrl {
    /// Whether all that lies here lies there, too. A process's memory is within nothing.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        match (self, outer) {
            (Self::File { path: inner }, Self::File { path: outer }) => inner.starts_with(outer),
            (Self::S3 { bucket: a, prefix: inner }, Self::S3 { bucket: b, prefix: outer }) => {
                a == b && (outer.is_empty() || inner == outer || inner.starts_with(&format!("{outer}/")))
            }
            _ => false,
        }
    }

    /// Whether either lies in the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_within(other) || other.is_within(self)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => match Url::from_file_path(path) {
                Ok(url) => f.write_str(url.as_str()),
                Err(()) => write!(f, "file:{}", path.display()),
            },
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Memory => f.write_str("memory://"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_back_as_shown() {
        for text in ["file:///var/lib/floe", "file:///with%20space", "s3://bucket", "s3://bucket/a/b", "memory://"] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        assert_eq!("s3://bucket/a/".parse::<StoreUrl>().unwrap().to_string(), "s3://bucket/a");
        assert_eq!("file:///with%20space".parse(), Ok(StoreUrl::File { path: "/with space".into() }));
    }

    #[test]
    fn places_lie_within_others_by_whole_names() {
        let url = |text: &str| text.parse::<StoreUrl>().unwrap();
        for (inner, outer) in [("file:///a/b", "file:///a"), ("file:///a", "file:///a"), ("s3://b/x/y", "s3://b/x"), ("s3://b/x", "s3://b")]
        {
            assert!(url(inner).is_within(&url(outer)) && url(outer).overlaps(&url(inner)), "{inner} in {outer}");
        }
        for (one, other) in [("file:///ab", "file:///a"), ("s3://b/xy", "s3://b/x"), ("s3://b/x", "s3://c/x"), ("memory://", "memory://")] {
            assert!(!url(one).overlaps(&url(other)), "{one} and {other}");
        }
    }

    #[test]
    fn what_names_no_store_is_refused_with_the_reason() {
        for (text, reason) in [
            ("floe-data", "relative URL"),
            ("s3:///prefix", "bucket"),
            ("s3://bucket:9000/a", "endpoint"),
            ("s3://key:secret@bucket/a", "options are settings"),
            ("s3://bucket/a?region=x", "options are settings"),
            ("s3://bucket/a//b", "single slashes"),
            ("memory://here", "no path"),
            ("gs://bucket", "unknown scheme"),
            ("file://host/path", "this machine"),
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
