//! The first 64 bytes of every file: which offsets it covers, and which write made it. Parquet's readers go by positions from
//! the footer, so that what stands between the magic and the first column is nobody's business but ours.
//!
//! ```text
//!  0 "PAR1" | 4 "FLOEXPRT" | 12 version u16 | 14 zero u16 | 16 write id 16 bytes | 32 partition i32 | 36 zero u32
//! 40 start i64 | 48 end i64 | 56 zero u32 | 60 CRC-32C of bytes 0..60
//! ```
//! Little-endian, the write id big-endian.

use floe_formats::checksum::crc32c;
use floe_types::Offset;

/// Bytes of the header; what [`floe_objstore::Store::create`] tells writes apart by.
pub const FILE_HEADER_LEN: usize = 64;
const MAGIC: &[u8; 12] = b"PAR1FLOEXPRT";
const VERSION: u16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    pub write_id: u128,
    pub partition: i32,
    /// The first offset that the file covers; a record may not be there.
    pub start: Offset,
    /// The offset behind the last one that it covers.
    pub end: Offset,
}

impl FileHeader {
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut out = Vec::with_capacity(FILE_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.write_id.to_be_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out.try_into().expect("the fields are 64 bytes")
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let bytes: &[u8; FILE_HEADER_LEN] = bytes.try_into().map_err(|_| "it is cut in its first 64 bytes".to_owned())?;
        if bytes.get(..12) != Some(MAGIC) {
            return Err("it is a file that no export of Floe has made".to_owned());
        }
        if crc32c(&bytes[..60]).to_le_bytes() != bytes[60..] {
            return Err("the checksum of its first 64 bytes does not match".to_owned());
        }
        let version = u16::from_le_bytes(field(bytes, 12));
        if version != VERSION {
            return Err(format!("it has version {version}, this program knows {VERSION}"));
        }
        Ok(Self {
            write_id: u128::from_be_bytes(field(bytes, 16)),
            partition: i32::from_le_bytes(field(bytes, 32)),
            start: i64::from_le_bytes(field(bytes, 40)),
            end: i64::from_le_bytes(field(bytes, 48)),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; FILE_HEADER_LEN], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("every field lies within the 64 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "50415231464c4f455850525401000000000102030405060708090a0b0c0d0e0f0300000000000000\
                          0a00000000000000140000000000000000000000c04a368a";

    fn sample() -> FileHeader {
        FileHeader { write_id: 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f, partition: 3, start: 10, end: 20 }
    }

    #[test]
    fn the_first_version_stays_readable_byte_for_byte() {
        let hex: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(FileHeader::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sound = sample().encode();
        for bit in 0..FILE_HEADER_LEN * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&bytes).is_err(), "bit {bit}");
        }
        assert!(FileHeader::decode(&sound[..63]).unwrap_err().contains("cut"));
    }
}
