//! Settings with units: `"64MiB"`, `"2s"`. The unit is part of the value, so a bare number is bytes or milliseconds
//! only where Kafka's own setting says so.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, time::Duration};

/// A value whose unit could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidUnit {
    pub value: String,
    pub expected: &'static str,
}

/// A number of bytes, written as `1024`, `64KiB`, `64MiB`, `1GiB` or with `KB`, `MB`, `GB` for powers of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A duration, written as `250ms`, `2s`, `5m`, `1h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

const BYTES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
// Of two words for one unit the last is shown.
const TIMES: [(&str, u64); 6] = [("ms", 1), ("s", 1_000), ("min", 60_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn parse(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim();
    let factor = if unit.is_empty() { bare? } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn show(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let best = units.iter().filter(|(_, factor)| value != 0 && value.is_multiple_of(*factor)).max_by_key(|(_, factor)| *factor);
    match best {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "0{}", units.iter().min_by_key(|(_, factor)| *factor).map_or("", |(unit, _)| *unit)),
    }
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        parse(text, &BYTES, Some(1)).map(Self).ok_or_else(|| InvalidUnit { value: text.into(), expected: "a size such as 64MiB" })
    }
}

impl FromStr for Millis {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        parse(text, &TIMES, None).map(Self).ok_or_else(|| InvalidUnit { value: text.into(), expected: "a duration such as 250ms or 2s" })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &BYTES, f)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &TIMES, f)
    }
}

impl From<Millis> for Duration {
    fn from(m: Millis) -> Self {
        Duration::from_millis(m.0)
    }
}

macro_rules! as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(ByteSize);
as_text!(Millis);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_back_as_shown() {
        for text in ["1B", "64MiB", "3GiB", "5KB"] {
            assert_eq!(text.parse::<ByteSize>().map(|v| v.to_string()), Ok(text.into()));
        }
        for text in ["250ms", "2s", "5m", "36h", "7d"] {
            assert_eq!(text.parse::<Millis>().map(|v| v.to_string()), Ok(text.into()));
        }
        assert_eq!("15min".parse::<Millis>().map(|v| v.to_string()), Ok("15m".into()), "both words are used for minutes");
        assert_eq!("0".parse::<ByteSize>().map(|v| v.to_string()), Ok("0B".into()));
    }

    #[test]
    fn bad_units_are_refused_with_the_value_in_the_message() {
        assert_eq!(
            "12 parsecs".parse::<Millis>().expect_err("no such unit").to_string(),
            "\"12 parsecs\" is not a duration such as 250ms or 2s"
        );
        assert!("7".parse::<Millis>().is_err(), "a duration needs its unit");
        assert!("99999999999999999999".parse::<ByteSize>().is_err());
        assert!("20000000000TiB".parse::<ByteSize>().is_err(), "overflow");
    }
}
