//! A batch as a client sent it to a batch as the log takes it: checked, and changed only where the topic's settings ask.
//!
//! The common case is one pass for the checksum and a look at the header. Records are decompressed only to check the
//! oldest timestamp (`message.timestamp.before.max.ms`), to see their keys (`cleanup.policy=compact`), or to change the codec
//! (`compression.type`), a bounded number at a time, with bounded memory (T41).

use crate::broker::Broker;
use crate::errors::{self, NO_TRANSACTIONS, Refusal};
use crate::topic_config::{TimestampType, TopicSettings};
use bytes::{Bytes, BytesMut};
use floe_protocol::ErrorCode;
use floe_records::{BatchError, BatchHeader, Codec, NO_TIMESTAMP, ValidateOptions};

/// First version of Produce whose clients know zstd (KIP-110).
const ZSTD: i16 = 7;

/// Records named in an answer; the rest of a bad batch is bad for the same reason.
const MAX_NAMED_RECORDS: usize = 1000;

/// A batch that may be appended.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) batch: Bytes,
    pub(super) header: BatchHeader,
    /// -1 where records keep the producer's time.
    pub(super) log_append_time: i64,
}

/// Why a batch is not appended, and which records are to blame (index in the batch, reason).
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) records: Vec<(i32, String)>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, records: Vec::new() }
    }
}

impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        Refusal::new(errors::of_batch(&error), error.to_string()).into()
    }
}

/// Checks the batch and changes what the topic wants changed.
pub(super) async fn prepare(broker: &Broker, settings: &TopicSettings, version: i16, batch: Bytes) -> Result<Prepared, Refused> {
    let header = check(settings, version, &batch)?;
    let now = broker.env.now_ms();
    let by_record = settings.timestamp_type == TimestampType::CreateTime && check_times(settings, &header, now)?;
    let codec = match settings.compression.codec() {
        Some(codec) if codec != header.codec()? => Some(codec),
        _ => None,
    };
    let batch = if by_record || codec.is_some() || settings.is_compacted {
        let wanted = Wanted {
            oldest: by_record.then(|| now.saturating_sub(settings.timestamp_before_max)),
            keys: settings.is_compacted,
            codec,
            max_bytes: settings.max_message_bytes,
        };
        convert(broker, batch, wanted).await?
    } else {
        batch
    };
    finish(settings, batch, now)
}

/// What needs no look at the records.
fn check(settings: &TopicSettings, version: i16, batch: &Bytes) -> Result<BatchHeader, Refused> {
    if batch.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidRecord, "a partition without records").into());
    }
    let header = floe_records::verify(batch)?;
    floe_records::validate(batch, &header, &ValidateOptions { max_bytes: settings.max_message_bytes, allow_zstd: version >= ZSTD })?;
    if header.is_transactional() {
        return Err(Refusal::new(ErrorCode::TransactionalIdAuthorizationFailed, NO_TRANSACTIONS).into());
    }
    Ok(header)
}

/// Checks the timestamps as far as the header tells. Whether the records have to be looked at.
fn check_times(settings: &TopicSettings, header: &BatchHeader, now: i64) -> Result<bool, Refusal> {
    let newest = now.saturating_add(settings.timestamp_after_max);
    let oldest = now.saturating_sub(settings.timestamp_before_max);
    let refuse = |timestamp| Err(Refusal::new(ErrorCode::InvalidTimestamp, out_of_range(timestamp, oldest, newest)));
    if header.max_timestamp > newest {
        return refuse(header.max_timestamp);
    }
    if settings.timestamp_before_max == i64::MAX || header.max_timestamp == NO_TIMESTAMP {
        return Ok(false);
    }
    if header.max_timestamp < oldest {
        return refuse(header.max_timestamp);
    }
    Ok(true)
}

fn out_of_range(timestamp: i64, oldest: i64, newest: i64) -> String {
    format!("Timestamp {timestamp} of message is out of range. The timestamp should be within [{oldest}, {newest}]")
}

/// What a topic wants that needs a look at the records.
struct Wanted {
    /// No timestamp below this one.
    oldest: Option<i64>,
    /// A key in each record: the topic is compacted.
    keys: bool,
    codec: Option<Codec>,
    max_bytes: usize,
}

/// Looks at every record, or changes the codec: off the connections' threads, a few at a time.
async fn convert(broker: &Broker, batch: Bytes, wanted: Wanted) -> Result<Bytes, Refused> {
    let limit = usize::try_from(broker.config.socket_request_max_bytes.0).unwrap_or(usize::MAX);
    let _one_of_few = broker.conversions.acquire().await.expect("the semaphore of conversions is never closed");
    let work = move || -> Result<Bytes, Refused> {
        if wanted.keys {
            check_keys(&batch, limit)?;
        }
        if let Some(oldest) = wanted.oldest {
            check_records(&batch, oldest, limit)?;
        }
        let Some(codec) = wanted.codec else { return Ok(batch) };
        let converted = floe_records::recompress(&batch, codec, limit)?;
        if converted.len() > wanted.max_bytes {
            return Err(BatchError::BatchTooLarge { len: converted.len(), limit: wanted.max_bytes }.into());
        }
        Ok(converted)
    };
    match broker.env.compute("convert-batch", work).await {
        Ok(result) => result,
        Err(failed) => Err(Refusal::new(ErrorCode::UnknownServerError, failed.to_string()).into()),
    }
}

/// A record without a key could never be told to be old, or new.
fn check_keys(batch: &Bytes, limit: usize) -> Result<(), Refused> {
    let (mut bad, mut index) = (Vec::new(), 0_i32);
    floe_records::keyed_records(batch, limit, |record| {
        if record.key.is_none() && bad.len() < MAX_NAMED_RECORDS {
            bad.push((index, "Compacted topic cannot accept message without key".to_owned()));
        }
        index = index.saturating_add(1);
    })?;
    if bad.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(ErrorCode::InvalidRecord, "One or more records have been rejected due to missing keys");
    Err(Refused { refusal, records: bad })
}

fn check_records(batch: &Bytes, oldest: i64, limit: usize) -> Result<(), Refused> {
    let mut bad = Vec::new();
    for (index, record) in floe_records::records(batch, limit)?.enumerate() {
        let timestamp = record?.timestamp;
        if timestamp != NO_TIMESTAMP && timestamp < oldest && bad.len() < MAX_NAMED_RECORDS {
            let index = i32::try_from(index).unwrap_or(i32::MAX);
            bad.push((index, format!("Timestamp {timestamp} is before {oldest}")));
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(ErrorCode::InvalidTimestamp, "One or more records have been rejected due to invalid timestamp");
    Err(Refused { refusal, records: bad })
}

/// The broker's own time, where the topic wants it.
fn finish(settings: &TopicSettings, batch: Bytes, now: i64) -> Result<Prepared, Refused> {
    match settings.timestamp_type {
        TimestampType::CreateTime => {
            let header = BatchHeader::parse(&batch)?;
            Ok(Prepared { batch, header, log_append_time: -1 })
        }
        TimestampType::LogAppendTime => {
            let mut own = BytesMut::from(batch.as_ref());
            floe_records::set_log_append_time(&mut own, now);
            let batch = own.freeze();
            let header = BatchHeader::parse(&batch)?;
            Ok(Prepared { batch, header, log_append_time: now })
        }
    }
}

#[cfg(test)]
mod tests;
