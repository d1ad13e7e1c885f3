//! Damage is found, and never more than an error.

mod support;

use bytes::Bytes;
use floe_records::{
    BatchBuilder, BatchError, BatchHeader, Batches, Codec, HEADER_LEN, ValidateOptions, first_offset_at_or_after, first_without_key,
    max_timestamp_offset, recompress, records, validate, verify,
};
use support::{GOLDENS, golden};

/// Makes length and checksum right again, so that damage reaches what lies behind them.
fn repair(batch: &mut [u8]) {
    if batch.len() >= HEADER_LEN {
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        let crc = crc_fast::crc32_iscsi(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// SplitMix64: enough for mutations, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Base offset and leader epoch, which a broker stamps and no checksum covers.
fn is_stamped(byte: usize) -> bool {
    (0..8).contains(&byte) || (12..16).contains(&byte)
}

#[test]
fn every_truncation_is_rejected() {
    for name in ["java_none", "java_lz4", "java_compacted_empty"] {
        let batch = golden(name);
        for len in 0..batch.len() {
            let error = verify(&batch[..len]).expect_err("a cut batch is no batch");
            assert!(matches!(error, BatchError::Truncated { have, .. } if have == len), "{name} cut to {len}: {error}");
        }
    }
}

#[test]
fn every_bit_flip_under_the_checksum_or_in_length_and_magic_is_rejected() {
    for name in ["java_none", "java_snappy"] {
        let batch = golden(name);
        let whole = verify(&batch).unwrap();
        for bit in 0..batch.len() * 8 {
            let mut flipped = batch.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match verify(&flipped) {
                Err(_) => assert!(!is_stamped(bit / 8), "{name}: bit {bit} is stamped by brokers"),
                Ok(header) => {
                    assert!(is_stamped(bit / 8), "{name}: bit {bit} went unnoticed");
                    assert_ne!(header, whole);
                }
            }
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let batch = golden("java_none");
    let with = |at: usize, byte: u8| {
        let mut bytes = batch.to_vec();
        bytes[at] = byte;
        verify(&bytes).expect_err("damaged")
    };
    assert_eq!(with(16, 1), BatchError::Magic { magic: 1 });
    assert!(matches!(with(8, 0x80), BatchError::Length { length } if length < 0));
    assert!(matches!(with(30, 9), BatchError::Crc { .. }));
    let two = [batch.clone(), batch.clone()].concat();
    assert_eq!(verify(&two), Err(BatchError::TrailingBytes { extra: batch.len() }));
    // A message of format 1 can be shorter than a v2 header: the reason is still its format.
    let mut old = [0; 40];
    old[16] = 1;
    assert_eq!(BatchHeader::parse(&old), Err(BatchError::Magic { magic: 1 }));
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_within(at..),
            2 => bytes.insert(at.min(bytes.len()), random.next() as u8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            5 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

/// Everything that reads a batch, on one input; what it returns is whether records could be read.
fn exercise(random: &mut Random, batch: &Bytes) -> bool {
    const LIMIT: usize = 256 << 10;
    for found in Batches::new(batch.clone()).take(10) {
        drop(found);
    }
    if let Ok(header) = verify(batch) {
        let options = ValidateOptions { max_bytes: 1 << 20, allow_zstd: true };
        let _ = validate(batch, &header, &options);
        let _ = (header.last_offset(), header.end_offset(), header.last_sequence());
    }
    let mut whole = true;
    match records(batch, LIMIT) {
        Err(_) => whole = false,
        Ok(found) => {
            let mut bytes = 0;
            for record in found {
                match record {
                    Ok(record) => bytes += record.key.map_or(0, |key| key.len()) + record.value.map_or(0, |value| value.len()),
                    Err(_) => whole = false,
                }
            }
            assert!(bytes <= LIMIT.max(batch.len()));
        }
    }
    let _ = max_timestamp_offset(batch, LIMIT);
    let _ = first_offset_at_or_after(batch, 1_700_000_000_000, LIMIT);
    let _ = first_without_key(batch, LIMIT);
    if random.below(8) == 0
        && let Ok(again) = recompress(batch, Codec::ALL[random.below(5)], LIMIT)
        && let Ok(header) = BatchHeader::parse(&again)
    {
        assert!(header.total_len() <= again.len());
    }
    whole
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Every second case; how many could be read to their end.
fn run_cases(samples: &[Bytes], seed: u64, cases: impl Iterator<Item = u64>) -> u64 {
    let mut survived = 0;
    for case in cases {
        let mut random = Random(seed.wrapping_mul(0x1000_0000_0000).wrapping_add(case));
        let mut bytes = samples[random.below(samples.len())].to_vec();
        mutate(&mut random, &mut bytes);
        if random.below(4) != 0 {
            repair(&mut bytes);
        }
        let batch = Bytes::from(bytes);
        let exercised = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| exercise(&mut random, &batch)));
        survived += u64::from(exercised.unwrap_or_else(|_| panic!("FLOE_FUZZ_SEED={seed} FLOE_FUZZ_FIRST={case} FLOE_FUZZ_CASES=1")));
    }
    survived
}

#[test]
fn t41_random_damage_is_an_error_and_never_a_panic() {
    let (first, seed) = (setting("FLOE_FUZZ_FIRST", 0), setting("FLOE_FUZZ_SEED", 1));
    let cases = setting("FLOE_FUZZ_CASES", 1_000_000);
    let samples: Vec<Bytes> = GOLDENS.iter().map(|(name, _)| golden(name)).collect();
    let half = |from: u64| run_cases(&samples, seed, (first + from..first + cases).step_by(2));
    let survived = std::thread::scope(|threads| {
        let other = threads.spawn(|| half(1));
        half(0) + other.join().expect("the other half holds too")
    });
    assert!(cases < 1000 || survived < cases, "damage must be noticed");
    assert!(cases < 1000 || survived > 0, "some damage must get past length and checksum, or nothing behind them was tested");
}

#[test]
fn t41_counts_and_lengths_that_the_bytes_do_not_hold_are_errors() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(5, Some(b"k"), Some(b"v")).unwrap();
    let good = builder.build();
    // The record: length, attributes, two deltas, key length, key, value length, value, header count.
    let (key_len, header_count) = (HEADER_LEN + 4, HEADER_LEN + 8);
    let with = |at: usize, bytes: &[u8]| {
        let mut batch = good.to_vec();
        batch.splice(at..at + 1, bytes.iter().copied());
        batch[HEADER_LEN] += 2 * (bytes.len() as u8 - 1); // the record's own length, zigzag
        repair(&mut batch);
        records(&Bytes::from(batch), 1 << 20).unwrap().next().unwrap()
    };
    assert!(with(key_len, &[2]).is_ok(), "unchanged, it is right");
    const HUGE: [u8; 5] = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    for (at, bytes) in [(key_len, &HUGE[..]), (header_count, &HUGE), (header_count, &[1]), (key_len, &[3]), (key_len, &[0xff; 5])] {
        assert!(matches!(with(at, bytes), Err(BatchError::Record { .. })), "at {at}: {bytes:?}");
    }
    let mut many = good.to_vec();
    many[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    many[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    repair(&mut many);
    let many = Bytes::from(many);
    assert!(verify(&many).is_ok(), "the header alone cannot tell");
    let walked: Vec<_> = records(&many, 1 << 20).unwrap().collect();
    assert_eq!(walked.len(), 2);
    assert!(walked[0].is_ok() && walked[1].is_err(), "the second of 2^31-1 records is not there");
}

#[test]
fn records_that_do_not_fill_the_batch_exactly_are_errors() {
    // One record: length 8, attributes, timestamp delta, offset delta, key "k", value "v", no headers.
    const RECORD: [u8; 9] = [16, 0, 0, 0, 2, b'k', 2, b'v', 0];
    let header = BatchHeader::parse(&golden("java_compacted_empty")).unwrap();
    let read = |count: i32, last_offset_delta: i32, section: &[u8]| {
        let header = BatchHeader { record_count: count, last_offset_delta, base_timestamp: 0, ..header };
        let mut batch = [&header.encode()[..], section].concat();
        repair(&mut batch);
        records(&Bytes::from(batch), 1 << 20).and_then(Iterator::collect::<Result<Vec<_>, _>>)
    };
    let at = |index: usize, byte: u8| {
        let mut record = RECORD;
        record[index] = byte;
        record
    };
    let wide_timestamp = |last: u8| [&[34, 0][..], &[0xff; 9], &[last, 0, 2, b'k', 2, b'v', 0]].concat();
    assert_eq!(read(1, 0, &RECORD).unwrap().len(), 1);
    assert_eq!(read(1, 0, &wide_timestamp(1)).unwrap()[0].timestamp, i64::MIN);
    for (why, broken) in [
        ("bytes after the last record", read(1, 0, &[&RECORD[..], &[0]].concat())),
        ("a record more than counted", read(0, 0, &RECORD)),
        ("a record fewer than counted", read(2, 1, &RECORD)),
        ("bytes after the headers", read(1, 0, &[&[18][..], &RECORD[1..], &[0]].concat())),
        ("a record longer than the batch", read(1, 0, &at(0, 18))),
        ("a record shorter than its fields", read(1, 0, &at(0, 14))),
        ("a negative length", read(1, 0, &at(0, 15))),
        ("an offset after the batch", read(1, 0, &at(3, 2))),
        ("an offset before the batch", read(1, 0, &at(3, 1))),
        ("a timestamp of more than 64 bits", read(1, 0, &wide_timestamp(2))),
        ("a varint that does not end", read(1, 0, &[0xff; 11])),
    ] {
        assert!(matches!(broken, Err(BatchError::Record { .. })), "{why}: {broken:?}");
    }
}
