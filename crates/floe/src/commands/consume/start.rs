//! Where a consumer starts: an end of the log, an offset, or a time.

use super::topic::{EARLIEST, LATEST, offsets};
use crate::exit::Failure;
use crate::kafka::{Kafka, TopicInfo};
use floe_types::Millis;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Beginning,
    End,
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
    /// Milliseconds before now.
    Ago(i64),
}

impl FromStr for Start {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        match text.split_once(':') {
            None if text == "beginning" => Ok(Self::Beginning),
            None if text == "end" => Ok(Self::End),
            Some(("offset", number)) => whole(number).map(Self::Offset).ok_or_else(|| format!("{number:?} is not an offset")),
            Some(("time", time)) => whole(time)
                .or_else(|| rfc3339(time))
                .map(Self::Time)
                .ok_or_else(|| format!("{time:?} is neither a time such as 2026-01-31T12:00:00Z nor milliseconds since 1970")),
            Some(("ago", span)) => {
                let millis: Millis = span.parse().map_err(|error: floe_types::InvalidUnit| error.to_string())?;
                i64::try_from(millis.0).map(Self::Ago).map_err(|_| format!("{span} is too long ago"))
            }
            _ => Err("not one of beginning, end, offset:N, time:T, ago:DURATION".to_owned()),
        }
    }
}

fn rfc3339(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// The first offset to read of every partition. A time after the last record is the end.
pub(super) async fn positions(kafka: &mut Kafka, topic: &TopicInfo, start: Start, now_ms: i64) -> Result<BTreeMap<i32, i64>, Failure> {
    let time = match start {
        Start::Offset(offset) => return Ok(topic.partitions.keys().map(|index| (*index, offset)).collect()),
        Start::Beginning => EARLIEST,
        Start::End => LATEST,
        Start::Time(time) => time,
        Start::Ago(span) => now_ms.saturating_sub(span).max(0),
    };
    let mut found = offsets(kafka, topic, time).await?;
    if found.values().any(|offset| *offset < 0) {
        let ends = offsets(kafka, topic, LATEST).await?;
        for (index, offset) in found.iter_mut().filter(|(_, offset)| **offset < 0) {
            *offset = ends.get(index).copied().unwrap_or(0);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_start_is_understood_and_nothing_else() {
        for (text, start) in [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("offset:42", Start::Offset(42)),
            ("time:1700000000000", Start::Time(1_700_000_000_000)),
            ("time:2023-11-14T22:13:20Z", Start::Time(1_700_000_000_000)),
            ("ago:5m", Start::Ago(300_000)),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text}");
        }
        for text in ["", "middle", "offset:-1", "offset:x", "time:noon", "ago:5", "42"] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }
}
