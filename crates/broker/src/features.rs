//! The features that clients are told of (KIP-584): what is supported, what all brokers have agreed on, and since when.
//!
//! One so far: `metadata.version`, whose level says which Kafka's surface this is, at the level of Kafka 4.1. A feature
//! is listed only when everything that clients do because of it works.

use crate::errors::Refusal;
use floe_protocol::ErrorCode;

/// A feature, and the levels that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// The level in force.
    pub(crate) level: i16,
}

/// 4.1-IV1 (Kafka's `MetadataVersion`).
const METADATA_VERSION: i16 = 27;

pub(crate) const FEATURES: &[Feature] =
    &[Feature { name: "metadata.version", min: METADATA_VERSION, max: METADATA_VERSION, level: METADATA_VERSION }];

/// How a level may be changed: version 0 of UpdateFeatures knows the first two, as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Upgrade,
    Downgrade,
    Unknown,
}

/// Whether a feature may be put on a level, in Kafka's order of checks and its words. With one level there is nothing to
/// do when it may.
pub(crate) fn check_update(name: &str, level: i16, change: Change) -> Result<(), Refusal> {
    let refuse = |why: String| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message))
    };
    if change == Change::Unknown {
        return refuse("The controller does not support the given upgrade type.".to_owned());
    }
    if level < 0 {
        return refuse("A feature version cannot be less than 0.".to_owned());
    }
    match FEATURES.iter().find(|feature| feature.name == name) {
        None => refuse("This broker does not support this feature.".to_owned()),
        Some(Feature { min, max, .. }) if !(*min..=*max).contains(&level) => {
            refuse(format!("This broker only supports versions {min}-{max}"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_in_force_is_accepted_and_no_other() {
        for feature in FEATURES {
            assert!(feature.min <= feature.level && feature.level <= feature.max);
            assert_eq!(check_update(feature.name, feature.level, Change::Upgrade), Ok(()));
        }
        for (name, level, change) in [
            ("metadata.version", 26, Change::Downgrade),
            ("metadata.version", 28, Change::Upgrade),
            ("metadata.version", -1, Change::Upgrade),
            ("metadata.version", 27, Change::Unknown),
            ("transaction.version", 2, Change::Upgrade),
        ] {
            let refusal = check_update(name, level, change).expect_err("refused");
            assert_eq!(refusal.code, ErrorCode::InvalidUpdateVersion, "{name} {level}");
        }
    }
}
