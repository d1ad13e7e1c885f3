//! Faults of an object store on demand: what happens to the next request that a rule fits.
//!
//! Shared by the simulated store, the shaping wrapper and the shaped server. The words say what happened to the object
//! and what the caller gets to know, which are two things.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreOp {
    Create,
    Read,
    List,
    Delete,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreFault {
    /// Turned away before anything happened, and the caller knows it ("slow down").
    Before,
    /// Nothing happened, and the caller cannot know it (connection reset).
    Lost,
    /// It happened, and the caller is told of an error (500 after success).
    After,
    /// The caller is told of an error now; it happens so many milliseconds later, whoever may be dead by then (T09).
    Late { by_ms: u64 },
    /// It happens, and no answer ever comes.
    Hang,
}

/// The next `count` requests of kind `op` (any, if not given) for keys that start with `prefix` meet `fault`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    #[serde(default)]
    pub op: Option<StoreOp>,
    #[serde(default)]
    pub prefix: String,
    pub fault: StoreFault,
    #[serde(default = "one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

/// Rules in the order in which they were added; the first that fits is used up by one.
#[derive(Debug, Default)]
pub struct FaultRules(Mutex<Vec<FaultRule>>);

impl FaultRules {
    pub fn add(&self, rule: FaultRule) {
        self.0.lock().push(rule);
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// The fault that this request meets.
    pub fn take(&self, op: StoreOp, key: &str) -> Option<StoreFault> {
        let mut rules = self.0.lock();
        let at = rules.iter().position(|rule| rule.count > 0 && rule.op.is_none_or(|o| o == op) && key.starts_with(&rule.prefix))?;
        let rule = rules.get_mut(at)?;
        rule.count -= 1;
        let fault = rule.fault;
        if rule.count == 0 {
            rules.remove(at);
        }
        Some(fault)
    }
}

/// What a cloud asks for requests, in billionths of a dollar (S3 Standard, us-east-1: 0.005 and 0.0004 dollars per thousand).
#[must_use]
pub fn price_nanodollars(op: StoreOp) -> u64 {
    match op {
        StoreOp::Create | StoreOp::List => 5_000,
        StoreOp::Read => 400,
        StoreOp::Delete => 0,
    }
}

impl StoreFault {
    /// How much later than its answer a request has its effect.
    #[must_use]
    pub fn late_by(self) -> Duration {
        match self {
            Self::Late { by_ms } => Duration::from_millis(by_ms),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_used_up_by_the_requests_that_fit() {
        let rules = FaultRules::default();
        rules.add(FaultRule { op: Some(StoreOp::Create), prefix: "chain/".into(), fault: StoreFault::After, count: 2 });
        rules.add(FaultRule { op: None, prefix: String::new(), fault: StoreFault::Hang, count: 1 });
        assert_eq!(rules.take(StoreOp::Create, "chain/1"), Some(StoreFault::After));
        assert_eq!(rules.take(StoreOp::Read, "chain/1"), Some(StoreFault::Hang));
        assert_eq!(rules.take(StoreOp::Create, "catalog/1"), None);
        assert_eq!(rules.take(StoreOp::Create, "chain/2"), Some(StoreFault::After));
        assert_eq!(rules.take(StoreOp::Create, "chain/3"), None);
    }

    #[test]
    fn rules_are_written_as_json() {
        let rule: FaultRule =
            serde_json::from_str(r#"{"op":"create","prefix":"chain/","fault":{"late":{"by_ms":500}},"count":3}"#).unwrap();
        assert_eq!(rule.fault.late_by(), Duration::from_millis(500));
        let short: FaultRule = serde_json::from_str(r#"{"fault":"before"}"#).unwrap();
        assert_eq!(short, FaultRule { op: None, prefix: String::new(), fault: StoreFault::Before, count: 1 });
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":"before","cuont":3}"#).is_err());
    }
}
