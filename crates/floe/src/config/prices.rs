//! What the operator's store asks for, as `floe du` reckons: for storage, by prefix where that differs, and for requests. In
//! whatever currency the operator reckons in.

use std::fmt;
use std::str::FromStr;

/// What a store's keys begin with, below its own prefix.
const BEGINNINGS: [&str; 4] = ["catalog/", "chain/", "cluster", "topic/"];

/// The table. The defaults are those of S3 Standard, us-east-1, in dollars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prices {
    pub(crate) gib_month: Price,
    pub(crate) prefixes: Prefixes,
    pub(crate) put_thousand: Price,
    pub(crate) get_thousand: Price,
}

impl Default for Prices {
    fn default() -> Self {
        Self { gib_month: Price(0.023), prefixes: Prefixes::default(), put_thousand: Price(0.005), get_thousand: Price(0.0004) }
    }
}

impl Prices {
    /// Where in the table a key's price for storage is; see [`Prices::of_class`].
    pub(crate) fn class_of(&self, key: &str) -> usize {
        let fits = self.prefixes.0.iter().enumerate().filter(|(_, (prefix, _))| key.starts_with(prefix));
        fits.max_by_key(|(_, (prefix, _))| prefix.len()).map_or(self.prefixes.0.len(), |(class, _)| class)
    }

    /// What a GiB of such keys costs in a month.
    pub(crate) fn of_class(&self, class: usize) -> f64 {
        self.prefixes.0.get(class).map_or(self.gib_month, |(_, price)| *price).0
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price(pub(crate) f64);

impl FromStr for Price {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let price: f64 = text.trim().parse().map_err(|_| format!("{text:?} is not a number"))?;
        if price.is_finite() && price >= 0.0 { Ok(Self(price)) } else { Err(format!("{text:?} is no price")) }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Prices of a GiB in a month by what keys begin with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Prefixes(Vec<(String, Price)>);

impl Prefixes {
    /// As text that reads back to the same; none without entries.
    pub(crate) fn shown(&self) -> Option<String> {
        let entries: Vec<String> = self.0.iter().map(|(prefix, price)| format!("{prefix}={price}")).collect();
        (!entries.is_empty()).then(|| entries.join(","))
    }
}

impl FromStr for Prefixes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut prefixes: Vec<(String, Price)> = Vec::new();
        for entry in text.split(',') {
            let entry = entry.trim();
            let Some((prefix, price)) = entry.split_once('=').map(|(prefix, price)| (prefix.trim(), price)) else {
                return Err(format!("{entry:?} is not PREFIX=PRICE"));
            };
            if prefix.is_empty() || !BEGINNINGS.iter().any(|beginning| beginning.starts_with(prefix) || prefix.starts_with(beginning)) {
                return Err(format!("no key begins with {prefix:?}; they begin with one of {}", BEGINNINGS.join(", ")));
            }
            if prefixes.iter().any(|(known, _)| known == prefix) {
                return Err(format!("{prefix:?} is there twice"));
            }
            prefixes.push((prefix.to_owned(), price.parse().map_err(|why: String| format!("{prefix}: {why}"))?));
        }
        Ok(Self(prefixes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts_and_what_fits_none_has_the_common_price() {
        let prefixes: Prefixes = "topic/=0.01, topic/77=0.002,chain/=1".parse().unwrap();
        assert_eq!(prefixes.shown().as_deref(), Some("topic/=0.01,topic/77=0.002,chain/=1"));
        let prices = Prices { prefixes, ..Prices::default() };
        let price = |key| prices.of_class(prices.class_of(key));
        assert_eq!([price("topic/78/0/pack"), price("topic/77/0/pack"), price("chain/x"), price("cluster")], [0.01, 0.002, 1.0, 0.023]);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        for (text, says) in [
            ("", "\"\" is not PREFIX=PRICE"),
            ("topic/", "\"topic/\" is not PREFIX=PRICE"),
            ("topic/=a lot", "topic/: \"a lot\" is not a number"),
            ("topic/=-1", "topic/: \"-1\" is no price"),
            ("topic/=NaN", "topic/: \"NaN\" is no price"),
            ("topic/=1,chain/=2,topic/=3", "\"topic/\" is there twice"),
            ("topics/=1", "no key begins with \"topics/\"; they begin with one of catalog/, chain/, cluster, topic/"),
            ("=1", "no key begins with \"\"; they begin with one of catalog/, chain/, cluster, topic/"),
        ] {
            assert_eq!(text.parse::<Prefixes>().expect_err(text), says, "{text}");
        }
    }
}
