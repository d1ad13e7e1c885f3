//! The one look into members' bytes: which topics a consumer subscribes to, so that offsets of topics that nobody consumes
//! any more can expire (KIP-211). What cannot be read is left alone.

use crate::records::Reader;
use bytes::Bytes;

/// The topics of a `ConsumerProtocolSubscription` of any version: all begin alike.
pub(crate) fn topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata);
    if reader.i16().ok()? < 0 {
        return None;
    }
    let mut topics = Vec::new();
    for _ in 0..reader.length().ok()? {
        topics.push(reader.text().ok()?);
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_a_subscription_are_read_and_anything_else_is_not() {
        let read = |bytes: &'static [u8]| topics(&Bytes::from_static(bytes));
        assert_eq!(read(b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff"), Some(vec!["a".into(), "bc".into()]));
        assert_eq!(read(b"\0\0\0\0\0\0"), Some(vec![]));
        for bad in [&b""[..], b"\0", b"\0\x01\0\0\0\x02\0\x01a", b"\xff\xff\0\0\0\0", b"\0\x01\x7f\xff\xff\xff"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
