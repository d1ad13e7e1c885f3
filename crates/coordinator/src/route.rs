//! Which partition of `__consumer_offsets` keeps a group.

/// The internal topic that is the coordinators' log, by Kafka's name.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition, of `partitions`, that keeps `group`: Java's hash of the id, as every tool that reads the topic expects
/// (`Utils.abs(groupId.hashCode()) % partitions`). 0 where there are no partitions.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // `Utils.abs` takes the one number without a counterpart for 0.
    hash.checked_abs().unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_where_kafka_puts_them() {
        // "hello".hashCode() = 99162322, "console-consumer-1".hashCode() is negative, the last hashes to i32::MIN.
        assert_eq!(partition_of("hello", 50), 99_162_322 % 50);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("a", 50), 47);
        assert_eq!(partition_of("\u{1d11e}", 1_000_000), (0xd834 * 31 + 0xdd1e) % 1_000_000);
        assert_eq!(partition_of("hello", 0), 0);
    }
}
