//! The Kafka listeners by name, and what clients of each are told to dial: `[NAME=]HOST:PORT`, separated by commas.

use super::host_and_port;
use floe_broker::{Advertised, PLAINTEXT};
use std::fmt;
use std::str::FromStr;

/// Longest name of a listener, and how many there may be.
const MAX_NAME: usize = 64;
const MAX_LISTENERS: usize = 8;

/// Something for each named listener, in the order of the setting; no name comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

/// An address to bind. A host name is allowed; it is resolved when it is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

/// An address for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial(pub(crate) Advertised);

impl<T> Named<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        host_and_port(text).map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Dial {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Advertised { host, port } = &self.0;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl<T: FromStr<Err = String>> FromStr for Named<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut all: Vec<(String, T)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((PLAINTEXT, part));
            check_name(name)?;
            if all.iter().any(|(known, _)| known == name) {
                return Err(format!("{name} is named twice"));
            }
            all.push((name.to_owned(), value.parse()?));
        }
        if all.len() > MAX_LISTENERS { Err(format!("{} listeners are more than {MAX_LISTENERS}", all.len())) } else { Ok(Self(all)) }
    }
}

impl<T: fmt::Display> fmt::Display for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if name == PLAINTEXT { write!(f, "{comma}{value}")? } else { write!(f, "{comma}{name}={value}")? }
        }
        Ok(())
    }
}

/// Names that Kafka takes, too.
fn check_name(name: &str) -> Result<(), String> {
    let good = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if good { Ok(()) } else { Err(format!("{name:?} is no name of a listener: letters, digits, _ and -, at most {MAX_NAME}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_named_or_plaintext_and_shown_as_they_are_read() {
        for text in ["127.0.0.1:9092", "[::1]:9092", "10.0.0.1:9092,EXTERNAL=0.0.0.0:9093", "a=h:1,b_2=h:2"] {
            assert_eq!(text.parse::<Named<Address>>().map(|all| all.to_string()), Ok(text.to_owned()));
        }
        let two: Named<Dial> = "10.0.0.1:9092, EXTERNAL=[::2]:9093".parse().unwrap();
        assert_eq!(two.to_string(), "10.0.0.1:9092,EXTERNAL=[::2]:9093");
        assert_eq!(two.get("EXTERNAL").map(|dial| dial.0.port), Some(9093));
        assert_eq!(two.get("INTERNAL"), None);
    }

    #[test]
    fn what_is_wrong_with_listeners_is_named() {
        let why = |text: &str| text.parse::<Named<Address>>().expect_err(text);
        assert_eq!(why("h:1,h:2"), "PLAINTEXT is named twice");
        assert_eq!(why("A=h:1,A=h:2"), "A is named twice");
        assert_eq!(why(""), "\"\" is not host:port");
        assert_eq!(why("A=h:1,"), "\"\" is not host:port");
        assert_eq!(why("a b=h:1"), "\"a b\" is no name of a listener: letters, digits, _ and -, at most 64");
        assert_eq!(why("=h:1"), "\"\" is no name of a listener: letters, digits, _ and -, at most 64");
        let many: Vec<String> = (0..9).map(|n| format!("L{n}=h:{n}")).collect();
        assert_eq!(why(&many.join(",")), "9 listeners are more than 8");
    }
}
