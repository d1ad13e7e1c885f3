//! Days of records, in UTC: what a table laid out by date has folders of.

use floe_records::NO_TIMESTAMP;
use serde::{Deserialize, Serialize};

const MS: i64 = 24 * 3600 * 1000;
/// 0000-01-01 and 9999-12-31, in days since 1970: what every engine reads as a date.
const FIRST: i64 = -719_528;
const LAST: i64 = 2_932_896;

/// Days since 1970; none: the record has no time, or one beyond the years 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Day(Option<i32>);

impl Day {
    pub(crate) fn of(timestamp: i64) -> Self {
        let day = timestamp.div_euclid(MS);
        let is_one = timestamp != NO_TIMESTAMP && (FIRST..=LAST).contains(&day);
        Self(is_one.then(|| i32::try_from(day).ok()).flatten())
    }

    /// Its folder, as Hive names it.
    pub(crate) fn folder(self) -> String {
        match self.0 {
            Some(day) => {
                let (year, month, day) = civil(day.into());
                format!("date={year:04}-{month:02}-{day:02}")
            }
            None => "date=__HIVE_DEFAULT_PARTITION__".to_owned(),
        }
    }
}

/// Year, month and day of the Gregorian calendar (Howard Hinnant, `chrono`-compatible low-level date algorithms, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let folder = |timestamp| Day::of(timestamp).folder();
        for (timestamp, expected) in [
            (0, "1970-01-01"),
            (MS - 1, "1970-01-01"),
            (MS, "1970-01-02"),
            (-2, "1969-12-31"),
            (951_782_400_000, "2000-02-29"),
            (1_796_083_199_999, "2026-11-30"),
            (1_796_083_200_000, "2026-12-01"),
            (4_107_542_400_000, "2100-03-01"),
            (FIRST * MS, "0000-01-01"),
            (LAST * MS + MS - 1, "9999-12-31"),
        ] {
            assert_eq!(folder(timestamp), format!("date={expected}"));
        }
        for none in [NO_TIMESTAMP, FIRST * MS - 1, (LAST + 1) * MS, i64::MAX, i64::MIN] {
            assert_eq!(folder(none), "date=__HIVE_DEFAULT_PARTITION__");
        }
    }

    #[test]
    fn one_day_follows_another() {
        let mut before = civil(FIRST - 1);
        for day in FIRST..=LAST {
            let (year, month, date) = civil(day);
            let is_next = (year, month) == (before.0, before.1) && date == before.2 + 1
                || date == 1 && (month == before.1 + 1 && year == before.0 || month == 1 && before.1 == 12 && year == before.0 + 1);
            assert!(is_next, "{before:?} and {:?}", (year, month, date));
            before = (year, month, date);
        }
    }
}
