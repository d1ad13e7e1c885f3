//! Golden batches, shared by the test programs of this crate.

use bytes::Bytes;

macro_rules! goldens {
    ($($name:literal),* $(,)?) => {
        /// Batches that Kafka's Java client 4.1.0, librdkafka 2.0.2 and kafka-python 3.0.12 wrote.
        pub(crate) const GOLDENS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../goldens/", $name, ".hex")))),*];
    };
}

goldens!(
    "java_none",
    "java_gzip",
    "java_snappy",
    "java_lz4",
    "java_zstd",
    "java_log_append_time_transactional",
    "java_lz4_many_blocks",
    "java_zstd_many_blocks",
    "java_commit_marker",
    "java_compacted_empty",
    "java_gaps",
    "librdkafka_none",
    "librdkafka_gzip",
    "librdkafka_snappy",
    "librdkafka_lz4",
    "librdkafka_zstd",
    "python_none",
    "python_gzip",
    "python_snappy",
    "python_lz4",
    "python_zstd",
);

/// The bytes of the golden batch of that name.
pub(crate) fn golden(name: &str) -> Bytes {
    let (_, hex) = GOLDENS.iter().find(|(known, _)| *known == name).expect("the golden exists");
    unhex(hex)
}

fn unhex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
