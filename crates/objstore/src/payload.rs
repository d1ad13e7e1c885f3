//! An object's body as a list of chunks, so that headers, stored batches and footers go out without being joined.

use bytes::{Bytes, BytesMut};

/// A body to be written. Cloning copies references only; the bytes are immutable and shared by all attempts, so that
/// a slow attempt and its retry send the same body (T08, T10).
#[derive(Clone, Debug, Default)]
pub struct Payload(Vec<Bytes>);

impl Payload {
    /// Bytes in all chunks together.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|chunk| chunk.len() as u64).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.0
    }

    /// The first `len` bytes, or all there are.
    #[must_use]
    pub fn start(&self, len: usize) -> Bytes {
        if let Some(first) = self.0.first().filter(|first| first.len() >= len) {
            return first.slice(..len);
        }
        let mut start = BytesMut::with_capacity(len);
        for chunk in &self.0 {
            let wanted = len.saturating_sub(start.len()).min(chunk.len());
            start.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
        }
        start.freeze()
    }

    /// All chunks as one buffer; copies unless there is only one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.0.as_slice() {
            [one] => one.clone(),
            chunks => {
                let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
                all.freeze()
            }
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

impl From<Vec<Bytes>> for Payload {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_chunks_reads_as_one_body() {
        let payload = Payload::from(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cdef")]);
        assert_eq!(payload.len(), 6);
        assert_eq!(payload.to_bytes().as_ref(), b"abcdef");
        for (len, start) in [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (6, "abcdef"), (64, "abcdef")] {
            assert_eq!(payload.start(len).as_ref(), start.as_bytes(), "first {len}");
        }
        assert!(Payload::from(vec![Bytes::new()]).is_empty());
        assert!(!payload.is_empty());
    }
}
