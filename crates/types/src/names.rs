//! Kafka's rules for topic names.

use crate::MAX_TOPIC_NAME;

/// Why a topic name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    #[error("a topic name must not be empty")]
    Empty,
    #[error("a topic name must not be '.' or '..'")]
    Dots,
    #[error("topic name is {0} bytes long, the most is {MAX_TOPIC_NAME}")]
    TooLong(usize),
    #[error("topic name holds {0:?}; only ASCII letters, digits, '.', '_' and '-' are allowed")]
    Character(char),
}

/// Checks a topic name as Kafka's `Topic.validate` does.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    match name {
        "" => return Err(InvalidTopicName::Empty),
        "." | ".." => return Err(InvalidTopicName::Dots),
        _ => {}
    }
    if name.len() > MAX_TOPIC_NAME {
        return Err(InvalidTopicName::TooLong(name.len()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(InvalidTopicName::Character(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        assert_eq!(check_topic_name("orders.v1_x-2"), Ok(()));
        assert_eq!(check_topic_name(""), Err(InvalidTopicName::Empty));
        assert_eq!(check_topic_name(".."), Err(InvalidTopicName::Dots));
        assert_eq!(check_topic_name("a/b"), Err(InvalidTopicName::Character('/')));
        assert_eq!(check_topic_name(&"x".repeat(249)), Ok(()));
        assert_eq!(check_topic_name(&"x".repeat(250)), Err(InvalidTopicName::TooLong(250)));
    }
}
