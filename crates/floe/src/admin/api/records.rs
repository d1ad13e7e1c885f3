//! `/api/records`: some records of a partition, from an offset or a time on, as text.
//!
//! What is read is read as any consumer's history is (class replay). Contents are data, never markup: they leave as JSON strings.

mod payload;

use super::{Asked, Refused, engine, in_turn, leader, question, topic};
use crate::admin::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use floe_env::Env;
use floe_log::{Partition, ReadError, ReadRequest};
use floe_records::{BatchHeader, Record};
use floe_types::{ErrorKind, PartitionId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Records of an answer, unless it is told otherwise, and at most.
const USUAL_COUNT: usize = 50;
const MOST_COUNT: usize = 500;
/// Bytes of an answer's records, as JSON. The first record is there whatever its size, which its parts bound.
const USUAL_BYTES: usize = 1 << 20;
const MOST_BYTES: usize = 4 << 20;
/// Bytes that are shown of a key, a value, or a header.
const USUAL_PART: usize = 4 << 10;
const MOST_PART: usize = 1 << 20;
/// Headers that are shown of a record.
const HEADERS_SHOWN: usize = 50;
/// What is read of the log at a time, and for one answer: where compaction left little, offsets are far apart.
const READ_BYTES: usize = 256 << 10;
const MOST_READ: usize = 8 << 20;
/// Most bytes that a batch may have uncompressed to be looked into.
const MOST_RAW: usize = 32 << 20;
/// Reading for one answer goes no further after so long; what was found is given.
const ENOUGH: Duration = Duration::from_secs(4);

const SWITCHED_OFF: &str = "what records hold is not shown here: floe.console.records is false";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    topic: String,
    partition: i32,
    /// One of these three, or none: the newest records.
    offset: Option<i64>,
    /// Unix milliseconds.
    time: Option<i64>,
    from: Option<End>,
    count: Option<usize>,
    bytes: Option<usize>,
    part: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Start,
    End,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Offset(i64),
    Time(i64),
    Start,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    count: usize,
    bytes: usize,
    part: usize,
}

impl Question {
    fn beginning(&self) -> Result<Beginning, Refused> {
        match (self.offset, self.time, self.from) {
            (Some(offset), None, None) => Ok(Beginning::Offset(offset)),
            (None, Some(time), None) => Ok(Beginning::Time(time)),
            (None, None, Some(End::Start)) => Ok(Beginning::Start),
            (None, None, Some(End::End) | None) => Ok(Beginning::End),
            _ => Err(Refused::Question("offset, time, from: one of them at most".into())),
        }
    }

    fn limits(&self) -> Result<Limits, Refused> {
        let within = |name: &str, asked: Option<usize>, usual: usize, most: usize| match asked.unwrap_or(usual) {
            value if (1..=most).contains(&value) => Ok(value),
            _ => Err(Refused::Question(format!("{name}: must lie between 1 and {most}"))),
        };
        Ok(Limits {
            count: within("count", self.count, USUAL_COUNT, MOST_COUNT)?,
            bytes: within("bytes", self.bytes, USUAL_BYTES, MOST_BYTES)?,
            part: within("part", self.part, USUAL_PART, MOST_PART)?,
        })
    }
}

pub(super) async fn read(asked: Asked, uri: Uri) -> Response {
    in_turn(&asked.env, &asked.gates.records, Box::pin(async { answer(&asked, &question(&uri)?).await })).await
}

async fn answer(state: &State, asked: &Question) -> Result<Response, Refused> {
    if !state.records_shown {
        return Err(Refused::Off(SWITCHED_OFF));
    }
    let (beginning, limits) = (asked.beginning()?, asked.limits()?);
    let engine = engine(state)?;
    let topic = topic(&engine.catalog().view(), &asked.topic)?;
    if !(0..topic.partitions).contains(&asked.partition) {
        return Err(Refused::NotThere(format!("topic {:?} has no partition {}", topic.name, asked.partition)));
    }
    let id = PartitionId { topic: topic.id, index: asked.partition };
    let elsewhere =
        || Refused::Elsewhere(format!("partition {} of {:?} is led by another broker", id.index, topic.name), leader(state, engine, id));
    let partition = engine.partition(id).ok_or_else(elsewhere)?;
    let failed = |error: ReadError| match error {
        ReadError::NotOwner => elsewhere(),
        error if error.kind() == ErrorKind::Corrupt => Refused::Failed(error.to_string()),
        error => Refused::Later(error.to_string()),
    };
    let offsets = partition.offsets();
    let start = match beginning {
        Beginning::Offset(offset) => offset,
        Beginning::Time(time) => partition.offset_for_time(time).await.map_err(failed)?.map_or(offsets.committed, |(offset, _)| offset),
        Beginning::Start => offsets.log_start,
        Beginning::End => offsets.committed.saturating_sub(i64::try_from(limits.count).unwrap_or(i64::MAX)),
    };
    let mut found = Found::new(start.clamp(offsets.log_start, offsets.committed), limits);
    found.fill(&state.env, &partition).await.map_err(failed)?;
    let now = partition.offsets();
    let head = json!({
        "topic": topic.name, "partition": id.index, "log_start": now.log_start, "committed": now.committed, "asked": start,
        "next": found.next, "more": found.next < now.committed, "notes": found.notes,
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], found.under(&head)).into_response())
}

/// Records as they are gathered for an answer, each as JSON already, so that what they take is known.
#[derive(Debug)]
struct Found {
    limits: Limits,
    records: Vec<String>,
    bytes: usize,
    /// The first offset that was not looked at.
    next: i64,
    /// What is not among the records, and why.
    notes: Vec<String>,
}

impl Found {
    fn new(next: i64, limits: Limits) -> Self {
        Self { limits, records: Vec::new(), bytes: 0, next, notes: Vec::new() }
    }

    /// Reads on until there is enough, or nothing more.
    async fn fill(&mut self, env: &Env, partition: &Arc<Partition>) -> Result<(), ReadError> {
        let (began, mut read) = (env.monotonic(), 0);
        loop {
            let request = ReadRequest { min_bytes: 1, ..ReadRequest::new(self.next, READ_BYTES) };
            let result = match partition.read(request).await {
                // What was found before is worth telling.
                Err(error) if !self.records.is_empty() => {
                    self.notes.push(error.to_string());
                    return Ok(());
                }
                result => result?,
            };
            if result.batches.is_empty() {
                self.next = self.next.max(result.committed.min(partition.offsets().committed));
                return Ok(());
            }
            read += result.bytes;
            for batch in &result.batches {
                if !self.take(batch)? {
                    return Ok(());
                }
            }
            if read >= MOST_READ || env.monotonic().saturating_sub(began) >= ENOUGH {
                return Ok(());
            }
        }
    }

    /// Takes what a batch has from the next offset on. Whether there is room for more.
    fn take(&mut self, batch: &Bytes) -> Result<bool, ReadError> {
        let header = BatchHeader::parse(batch)?;
        if header.is_control() {
            self.next = self.next.max(header.end_offset());
            return Ok(true);
        }
        let records = match floe_records::records(batch, MOST_RAW) {
            Ok(records) => records,
            Err(error) => {
                self.notes.push(format!("offsets {}..{} are not shown: {error}", header.base_offset, header.end_offset()));
                self.next = self.next.max(header.end_offset());
                return Ok(true);
            }
        };
        for record in records {
            let record = record?;
            if record.offset < self.next {
                continue;
            }
            if self.records.len() >= self.limits.count {
                return Ok(false);
            }
            let shown = show(&record, self.limits.part).to_string();
            if !self.records.is_empty() && self.bytes + shown.len() > self.limits.bytes {
                return Ok(false);
            }
            self.bytes += shown.len();
            self.records.push(shown);
            self.next = record.offset + 1;
        }
        self.next = self.next.max(header.end_offset());
        Ok(self.records.len() < self.limits.count)
    }

    /// The answer: an object with the records in it.
    fn under(&self, head: &Value) -> String {
        let head = head.to_string();
        let open = head.strip_suffix('}').unwrap_or(&head);
        format!("{open},\"records\":[{}]}}", self.records.join(","))
    }
}

fn show(record: &Record, part: usize) -> Value {
    let headers =
        record.headers.iter().take(HEADERS_SHOWN).map(
            |(name, value)| json!({ "name": payload::show(name, part), "value": value.as_ref().map(|value| payload::show(value, part)) }),
        );
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.as_ref().map(|key| payload::show(key, part)),
        "value": record.value.as_ref().map(|value| payload::show(value, part)),
        "headers": headers.collect::<Vec<_>>(),
        "header_count": record.headers.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::{BatchBuilder, Codec};

    const LIMITS: Limits = Limits { count: 3, bytes: 1 << 20, part: 100 };

    fn batch(values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::Zstd);
        for value in values {
            builder.append(7, None, Some(value.as_bytes())).unwrap();
        }
        builder.build()
    }

    fn offsets(found: &Found) -> Vec<i64> {
        let offset = |text: &String| serde_json::from_str::<Value>(text).unwrap()["offset"].as_i64().unwrap();
        found.records.iter().map(offset).collect()
    }

    #[test]
    fn an_answer_has_no_more_records_than_asked_for_and_says_where_to_go_on() {
        let mut found = Found::new(1, LIMITS);
        assert!(!found.take(&batch(&["a", "b", "c", "d", "e"])).unwrap());
        assert_eq!((offsets(&found), found.next), (vec![1, 2, 3], 4));
        let mut found = Found::new(4, LIMITS);
        assert!(found.take(&batch(&["a", "b", "c", "d", "e"])).unwrap());
        assert_eq!((offsets(&found), found.next), (vec![4], 5));
    }

    #[test]
    fn an_answer_has_no_more_bytes_than_asked_for_but_always_one_record() {
        let long = "x".repeat(90);
        let mut found = Found::new(0, Limits { bytes: 1, ..LIMITS });
        assert!(!found.take(&batch(&[&long, &long])).unwrap());
        assert_eq!((offsets(&found), found.next), (vec![0], 1));
        let two = 2 * show(&Record { value: Some(long.clone().into()), ..Record::default() }, 100).to_string().len();
        let mut found = Found::new(0, Limits { bytes: two, ..LIMITS });
        assert!(!found.take(&batch(&[&long, &long, &long])).unwrap());
        assert_eq!((offsets(&found), found.next), (vec![0, 1], 2));
    }

    #[test]
    fn a_batch_that_is_too_large_or_damaged_inside_is_passed_over_with_a_note() {
        let bomb = batch(&["x".repeat(MOST_RAW + 1).as_str()]);
        assert!(bomb.len() < 100_000);
        let mut found = Found::new(0, LIMITS);
        assert!(found.take(&bomb).unwrap());
        assert_eq!((found.records.len(), found.next), (0, 1));
        assert!(found.notes[0].starts_with("offsets 0..1 are not shown: the decompressed records are larger"), "{:?}", found.notes);
    }

    #[test]
    fn markup_in_a_record_stays_text_of_a_json_string() {
        let evil = "</script><script>alert(1)</script>\u{2028}\"";
        let mut found = Found::new(0, LIMITS);
        found.take(&batch(&[evil])).unwrap();
        let answer: Value = serde_json::from_str(&found.under(&json!({ "topic": "t" }))).unwrap();
        assert_eq!(answer["records"][0]["value"]["text"], evil);
    }

    #[test]
    fn limits_are_bounds_and_one_beginning_is_asked_for() {
        let question = |text: &str| super::question::<Question>(&format!("/api/records?topic=t&partition=0{text}").parse().unwrap());
        assert_eq!(question("").unwrap().limits().unwrap(), Limits { count: USUAL_COUNT, bytes: USUAL_BYTES, part: USUAL_PART });
        for wrong in ["&count=0", "&count=501", "&bytes=0", "&bytes=4194305", "&part=1048577"] {
            assert!(matches!(question(wrong).unwrap().limits(), Err(Refused::Question(_))), "{wrong}");
        }
        for wrong in ["&count=-1", "&count=many", "&counts=3", "&from=middle", "&offset=1.5"] {
            assert!(matches!(question(wrong), Err(Refused::Question(_))), "{wrong}");
        }
        assert_eq!(question("&from=start").unwrap().beginning().unwrap(), Beginning::Start);
        assert_eq!(question("").unwrap().beginning().unwrap(), Beginning::End);
        assert_eq!(question("&time=5").unwrap().beginning().unwrap(), Beginning::Time(5));
        assert!(matches!(question("&time=5&offset=1").unwrap().beginning(), Err(Refused::Question(_))));
    }
}
