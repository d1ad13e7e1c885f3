//! One record as a line: text with the asked-for fields before the value, or JSON with everything.

use clap::ValueEnum;
use floe_records::Record;
use serde_json::{Value, json};

/// What stands before the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Show {
    Partition,
    Offset,
    Time,
    Key,
    Headers,
}

pub(super) enum Format {
    Text(Vec<Show>),
    Json,
}

/// Appends the record and a line's end.
pub(super) fn render(format: &Format, topic: &str, partition: i32, record: &Record, out: &mut Vec<u8>) {
    match format {
        Format::Text(show) => {
            for what in show {
                match what {
                    Show::Partition => out.extend_from_slice(partition.to_string().as_bytes()),
                    Show::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
                    Show::Time => out.extend_from_slice(record.timestamp.to_string().as_bytes()),
                    Show::Key => out.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                    Show::Headers => headers(record, out),
                }
                out.push(b'\t');
            }
            out.extend_from_slice(record.value.as_deref().unwrap_or_default());
        }
        Format::Json => out.extend_from_slice(to_json(topic, partition, record).to_string().as_bytes()),
    }
    out.push(b'\n');
}

fn headers(record: &Record, out: &mut Vec<u8>) {
    for (number, (key, value)) in record.headers.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        out.push(b'=');
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

fn to_json(topic: &str, partition: i32, record: &Record) -> Value {
    let headers: Vec<Value> = record.headers.iter().map(|(key, value)| json!([text(Some(key)), text(value.as_deref())])).collect();
    json!({
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": text(record.key.as_deref()),
        "value": text(record.value.as_deref()),
        "headers": headers,
    })
}

/// UTF-8 as it is; other bytes as `{"hex": "..."}`, so that nothing is lost.
fn text(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(format: &Format, record: &Record) -> String {
        let mut out = Vec::new();
        render(format, "t", 3, record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_are_lines_with_what_was_asked_for() {
        let header = (Bytes::from_static(b"h"), Some(Bytes::from_static(b"1")));
        let (key, value) = (Some(Bytes::from_static(b"k")), Some(Bytes::from_static(b"v")));
        let record = Record { offset: 7, timestamp: 9, key, value, headers: vec![header.clone(), header] };
        assert_eq!(shown(&Format::Text(vec![]), &record), "v\n");
        let all = vec![Show::Partition, Show::Offset, Show::Time, Show::Key, Show::Headers];
        assert_eq!(shown(&Format::Text(all), &record), "3\t7\t9\tk\th=1,h=1\tv\n");
        let json: Value = serde_json::from_str(&shown(&Format::Json, &record)).unwrap();
        assert_eq!((&json["key"], &json["headers"]), (&json!("k"), &json!([["h", "1"], ["h", "1"]])));
    }

    #[test]
    fn json_tells_null_from_empty_and_keeps_bytes_that_are_no_text() {
        let record = Record { key: None, value: Some(Bytes::from_static(&[0xff, 0])), ..Record::default() };
        let json: Value = serde_json::from_str(&shown(&Format::Json, &record)).unwrap();
        assert_eq!((&json["key"], &json["value"]), (&Value::Null, &json!({ "hex": "ff00" })));
    }
}
