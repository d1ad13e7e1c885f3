//! Who asks, and by which of the broker's listeners: clients of one network are told addresses that they can dial there.

use std::net::IpAddr;
use std::sync::Arc;

/// The name of a listener that was given none, as in Kafka.
pub const PLAINTEXT: &str = "PLAINTEXT";

/// Where clients reach this broker: what they are told, so they must be able to dial it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    pub port: u16,
}

impl std::str::FromStr for Advertised {
    type Err = String;
    /// `host:port`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match port.parse() {
            Ok(port) if !host.is_empty() && port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(wrong()),
        }
    }
}

/// One listener, as clients know it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) name: String,
    pub(crate) advertised: Advertised,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// The listener that it came in by.
    pub(crate) door: Arc<Door>,
}

#[cfg(test)]
impl Peer {
    pub(crate) fn for_tests() -> Self {
        let advertised = Advertised { host: "floe".into(), port: 9092 };
        Self { ip: std::net::Ipv4Addr::LOCALHOST.into(), door: Arc::new(Door { name: PLAINTEXT.into(), advertised }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_is_a_host_and_a_port() {
        let parse = |text: &str| text.parse::<Advertised>().map(|a| (a.host, a.port));
        assert_eq!(parse("kafka.example:9092"), Ok(("kafka.example".into(), 9092)));
        assert_eq!(parse("[::1]:19092"), Ok(("::1".into(), 19092)));
        for bad in ["kafka.example", ":9092", "host:0", "host:port", "host:99999"] {
            assert_eq!(parse(bad), Err(format!("{bad:?} is not host:port")));
        }
    }
}
