//! Where an export of a topic begins, and in which mode: decided once, by whoever is first, for all who export to this place.

use crate::Mode;
use crate::json;
use crate::target::Folders;
use bytes::Bytes;
use floe_types::{Offset, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// First, so that it stands in the first 64 bytes: which write made this.
    write_id: String,
    version: u32,
    topic_id: String,
    /// The topic's name then; for people only.
    topic: String,
    pub(crate) mode: Mode,
    pub(crate) drop_value: bool,
    #[serde(default, skip_serializing_if = "Folders::is_plain")]
    pub(crate) folders: Folders,
    /// Texts stand behind the id of a schema.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) prefixed: bool,
    /// The first offset of each partition; of one that is not listed, 0.
    starts: BTreeMap<i32, Offset>,
}

impl Begin {
    pub(crate) fn new(id: TopicId, name: &str, mode: Mode, starts: BTreeMap<i32, Offset>) -> Self {
        let (topic_id, topic, folders) = (id.to_string(), name.to_owned(), Folders::Plain);
        Self { write_id: String::new(), version: VERSION, topic_id, topic, mode, drop_value: false, folders, prefixed: false, starts }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn start(&self, partition: i32) -> Offset {
        self.starts.get(&partition).copied().unwrap_or(0)
    }

    pub(crate) fn encode(&self, write_id: u128) -> Bytes {
        let named = Self { write_id: json::named(write_id), ..self.clone() };
        json::encode(&named)
    }

    pub(crate) fn decode(bytes: &[u8], topic: TopicId) -> Result<Self, String> {
        let begin: Self = json::decode(bytes, VERSION)?;
        if begin.topic_id != topic.to_string() {
            return Err(format!("it is of topic {}", begin.topic_id));
        }
        Ok(Self { write_id: String::new(), ..begin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "{\"write_id\":\"00000000000000000000000000000007\",\"version\":1,\"topic_id\":\"00000000-0000-0000-0000-000000000009\",\
                          \"topic\":\"orders\",\"mode\":\"raw\",\"drop_value\":false,\"starts\":{\"0\":0,\"1\":17}}\n";

    #[test]
    fn the_first_version_stays_readable_byte_for_byte() {
        let topic = TopicId(9);
        let begin = Begin::new(topic, "orders", Mode::Raw, BTreeMap::from([(0, 0), (1, 17)]));
        assert_eq!(begin.encode(7), GOLDEN);
        let read = Begin::decode(GOLDEN.as_bytes(), topic).unwrap();
        assert_eq!(read, begin);
        assert_eq!((read.start(0), read.start(1), read.start(2)), (0, 17, 0));
        // What came later is there where it says something.
        let by_date = Begin { folders: Folders::Date, ..begin };
        let text = GOLDEN.replace("\"drop_value\":false", "\"drop_value\":false,\"folders\":\"date\"");
        assert_eq!((by_date.encode(7), Begin::decode(text.as_bytes(), topic)), (text.clone().into(), Ok(by_date)));
    }

    #[test]
    fn what_is_newer_or_anothers_is_refused() {
        let refused = |text: String| Begin::decode(text.as_bytes(), TopicId(9)).unwrap_err();
        assert!(refused(GOLDEN.replace("\"version\":1", "\"version\":2,\"more\":{}")).contains("version 2"));
        assert!(Begin::decode(GOLDEN.as_bytes(), TopicId(8)).unwrap_err().contains("of topic"));
        assert!(refused(GOLDEN.replace("}}", "},\"more\":1}")).contains("more"));
        assert!(refused("PAR1".to_owned()).contains("expected"));
    }
}
