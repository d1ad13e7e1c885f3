//! A position in a slice from which Kafka's integers and varints are read. Every read is bounded by the slice; `None` means
//! that the bytes are not there or are no such number.

/// Reads forward through `bytes`. After a failed read the position is unspecified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! fixed {
    ($($name:ident),*) => {
        $(pub(crate) fn $name(&mut self) -> Option<$name> {
            self.take(size_of::<$name>())?.try_into().ok().map($name::from_be_bytes)
        })*
    };
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fixed!(i8, i16, i32, i64, u32);

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at = self.at.checked_add(1)?;
        Some(byte)
    }

    /// A zigzag varint of at most 5 bytes.
    pub(crate) fn varint(&mut self) -> Option<i32> {
        let raw = u32::try_from(self.unsigned(5)?).ok()?;
        Some((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
    }

    /// A zigzag varint of at most 10 bytes.
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        let raw = self.unsigned(10)?;
        Some((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
    }

    fn unsigned(&mut self, max_bytes: u32) -> Option<u64> {
        let mut value = 0_u64;
        for index in 0..max_bytes {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = index.wrapping_mul(7);
            let placed = bits << shift;
            if placed >> shift != bits {
                return None; // bits beyond the 64th
            }
            value |= placed;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends `value` as a zigzag varint of at most 10 bytes; of values in the range of `i32` it is the varint of that width.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = raw.to_le_bytes();
        raw >>= 7;
        if raw == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
