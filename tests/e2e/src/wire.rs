//! A connection that sends requests byte by byte: Produce with correlation ids and payloads that a system-call trace shows as text, and
//! others as they are given.

use anyhow::{Context, ensure};
use bytes::Bytes;
use floe_records::{BatchBuilder, Codec};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PRODUCE: i16 = 0;
/// The last version but one without tagged fields.
const VERSION: i16 = 7;
const ALL: i16 = -1;

/// Four letters.
pub type Correlation = [u8; 4];

/// A connection to a broker.
#[derive(Debug)]
pub struct Connection(TcpStream);

impl Connection {
    /// # Errors
    /// Nobody listens.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(stream))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    /// The next answer, with its correlation id.
    ///
    /// # Errors
    /// None came.
    pub fn take(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.0.read_exact(&mut len).context("no answer")?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(len))?];
        self.0.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Sends one batch with one record, acks=all; does not wait.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, correlation: Correlation, topic: &str, partition: i32, value: &[u8]) -> anyhow::Result<()> {
        let batch = batch(value)?;
        let mut body = Vec::new();
        body.extend(PRODUCE.to_be_bytes());
        body.extend(VERSION.to_be_bytes());
        body.extend(correlation);
        string(&mut body, "e2e");
        body.extend((-1_i16).to_be_bytes());
        body.extend(ALL.to_be_bytes());
        body.extend(30_000_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        string(&mut body, topic);
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend(i32::try_from(batch.len())?.to_be_bytes());
        body.extend(&batch);
        let mut frame = i32::try_from(body.len())?.to_be_bytes().to_vec();
        frame.extend(body);
        Ok(self.0.write_all(&frame)?)
    }

    /// The next answer: its correlation id and the record's offset.
    ///
    /// # Errors
    /// None came, or it is an error.
    pub fn answer(&mut self) -> anyhow::Result<(Correlation, i64)> {
        let (correlation, error, offset) = self.any_answer()?;
        ensure!(error == 0, "the broker answered with error {error}");
        Ok((correlation, offset))
    }

    /// The same, whatever the broker says: its Kafka error stands before the offset.
    ///
    /// # Errors
    /// None came.
    pub fn any_answer(&mut self) -> anyhow::Result<(Correlation, i16, i64)> {
        let frame = self.take()?;
        let correlation = frame[..4].try_into()?;
        // Topics, name, partitions, index: then the error and the offset.
        let name = usize::from(u16::from_be_bytes(frame[8..10].try_into()?));
        let at = 10 + name + 4 + 4;
        let error = i16::from_be_bytes(frame[at..at + 2].try_into()?);
        Ok((correlation, error, i64::from_be_bytes(frame[at + 2..at + 10].try_into()?)))
    }
}

/// A request without tagged fields, as it goes over the wire.
///
/// # Errors
/// It is longer than a frame can say.
pub fn request(api: i16, version: i16, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = Vec::new();
    frame.extend(api.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(b"e2e ");
    string(&mut frame, "e2e");
    frame.extend(body);
    Ok([&i32::try_from(frame.len())?.to_be_bytes()[..], &frame].concat())
}

fn string(body: &mut Vec<u8>, text: &str) {
    body.extend(i16::try_from(text.len()).expect("names are short").to_be_bytes());
    body.extend(text.as_bytes());
}

fn batch(value: &[u8]) -> anyhow::Result<Bytes> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1_700_000_000_000, None, Some(value))?;
    Ok(builder.build())
}
