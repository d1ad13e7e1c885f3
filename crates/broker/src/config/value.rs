//! How the value of a setting is read and shown, by type.

use floe_types::{ByteSize, Millis};
use serde::{Deserializer, Serializer, de};
use std::fmt;
use std::marker::PhantomData;

/// Kafka's config types, with their numbers in DescribeConfigs (`ConfigDef.Type`, KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A type that a setting can have.
pub(crate) trait Setting: Sized {
    const KIND: ConfigType;
    /// Reads what an operator wrote; the error completes the sentence "key: ...".
    fn read(text: &str) -> Result<Self, String>;
    /// As Kafka's tools show it.
    fn show(&self) -> String;
}

macro_rules! whole_number {
    ($type:ty, $kind:expr) => {
        impl Setting for $type {
            const KIND: ConfigType = $kind;
            fn read(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("{text:?} is not a whole number"))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}
whole_number!(i32, ConfigType::Int);
whole_number!(u32, ConfigType::Int);
whole_number!(i64, ConfigType::Long);

impl Setting for bool {
    const KIND: ConfigType = ConfigType::Boolean;
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for ByteSize {
    const KIND: ConfigType = ConfigType::Long;
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: floe_types::InvalidUnit| e.to_string())
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for Millis {
    const KIND: ConfigType = ConfigType::Long;
    /// Kafka's names end in `.ms`, which says what a bare number means.
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().parse::<u64>() {
            Ok(ms) => Ok(Self(ms)),
            Err(_) => text.parse().map_err(|e: floe_types::InvalidUnit| e.to_string()),
        }
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Reads a setting from whatever scalar a TOML file, an environment variable or a command line gives.
pub(super) fn scalar<'de, D: Deserializer<'de>, T: Setting>(deserializer: D) -> Result<T, D::Error> {
    struct Scalar<T>(PhantomData<T>);
    impl<T: Setting> de::Visitor<'_> for Scalar<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, true or false, or text")
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
            self.visit_str(&value.to_string())
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
            self.visit_str(&value.to_string())
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
            self.visit_str(&value.to_string())
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::read(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Scalar(PhantomData))
}

/// Writes a setting so that [`scalar`] reads it back: numbers and truth values bare, everything else as text.
pub(super) fn dump<T: Setting, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = value.show();
    match T::KIND {
        ConfigType::Boolean => serializer.serialize_bool(shown == "true"),
        ConfigType::Int | ConfigType::Long => match shown.parse::<i64>() {
            Ok(number) => serializer.serialize_i64(number),
            Err(_) => serializer.serialize_str(&shown),
        },
        ConfigType::String | ConfigType::Double | ConfigType::List => serializer.serialize_str(&shown),
    }
}
