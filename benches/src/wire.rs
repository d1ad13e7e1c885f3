//! The least of Kafka's protocol: a client that sends one batch over and over until it is acknowledged (starts are measured with it,
//! for no client's back-off hides in the time), and a responder that acknowledges without writing (the client's own floor).

use anyhow::{Context, bail};
use floe_records::{BatchBuilder, Codec};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
/// Version of Produce that both ends speak: the newest with plain lengths.
const PRODUCE_VERSION: i16 = 7;
const UNSUPPORTED_VERSION: i16 = 35;
const FRAME_LIMIT: usize = 64 << 20;

/// Asks partition 0 of a topic from `began` on until one record is acknowledged with acks=all, and says how long that took.
pub(crate) fn first_ack(address: SocketAddr, topic: &str, began: Instant, patience: Duration) -> anyhow::Result<Duration> {
    let request = produce_request(topic, 0)?;
    let mut last = None;
    while began.elapsed() < patience {
        match try_once(address, &request) {
            Ok(0) => return Ok(began.elapsed()),
            Ok(code) => last = Some(anyhow::anyhow!("Kafka error {code}")),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("never tried"))).context("no acknowledgement in time")
}

fn try_once(address: SocketAddr, request: &[u8]) -> anyhow::Result<i16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    let answer = read_frame(&mut stream)?.context("closed")?;
    produce_error(&answer[4.min(answer.len())..])
}

/// The Kafka error of the only partition of an answer, which begins behind its correlation id.
pub(crate) fn produce_error(answer: &[u8]) -> anyhow::Result<i16> {
    let mut reader = Reader(answer);
    reader.i32()?; // topics
    reader.string()?;
    reader.i32()?; // partitions
    reader.i32()?; // index
    reader.i16()
}

/// Produce with one record to one partition, acks=all.
pub(crate) fn produce_request(topic: &str, partition: i32) -> anyhow::Result<Vec<u8>> {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.append(1_700_000_000_000, None, Some(b"first"))?;
    let batch = batch.build();
    let mut body = Vec::new();
    body.extend(PRODUCE.to_be_bytes());
    body.extend(PRODUCE_VERSION.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, "floe-benches")?;
    body.extend((-1i16).to_be_bytes()); // no transactional id
    body.extend((-1i16).to_be_bytes()); // acks=all
    body.extend(10_000i32.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic)?;
    body.extend(1i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(i32::try_from(batch.len())?.to_be_bytes());
    body.extend(&batch);
    frame(&body)
}

pub(crate) fn frame(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = i32::try_from(body.len())?.to_be_bytes().to_vec();
    frame.extend(body);
    Ok(frame)
}

pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) -> anyhow::Result<()> {
    out.extend(i16::try_from(text.len())?.to_be_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

/// None: the other end closed.
pub(crate) fn read_frame(stream: &mut TcpStream) -> anyhow::Result<Option<Vec<u8>>> {
    let mut frame = Vec::new();
    Ok(read_frame_into(stream, &mut frame)?.map(|len| {
        frame.truncate(len);
        frame
    }))
}

/// The same into a buffer that is used again and only grows: what it costs to clear memory, and to get it, is none of the broker's. The frame's length.
pub(crate) fn read_frame_into(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let len = usize::try_from(i32::from_be_bytes(len))?;
    if len > FRAME_LIMIT {
        bail!("a frame of {len} bytes");
    }
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    stream.read_exact(buffer.get_mut(..len).context("just made")?)?;
    Ok(Some(len))
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).context("the frame is short")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    pub(crate) fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// A null string is empty.
    pub(crate) fn i64(&mut self) -> anyhow::Result<i64> {
        let bytes = self.take(8)?;
        Ok(i64::from_be_bytes(bytes.try_into()?))
    }

    pub(crate) fn string(&mut self) -> anyhow::Result<&'a str> {
        let len = self.i16()?;
        Ok(std::str::from_utf8(self.take(usize::try_from(len.max(0))?)?)?)
    }
}

/// Starts a responder with one topic of this many partitions; it lives as long as the process.
pub(crate) fn start_responder(topic: &'static str, partitions: i32) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, address, topic, partitions));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream, address: SocketAddr, topic: &str, partitions: i32) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = read_frame(&mut stream)? {
        let mut reader = Reader(&request);
        let (api, version, correlation) = (reader.i16()?, reader.i16()?, reader.i32()?);
        let mut body = correlation.to_be_bytes().to_vec();
        match api {
            API_VERSIONS => api_versions(&mut body, version),
            METADATA => metadata(&mut body, address, topic, partitions)?,
            PRODUCE => {
                reader.string()?;
                produced(&mut body, &mut reader)?;
            }
            _ => bail!("api {api} is not served"),
        }
        stream.write_all(&frame(&body)?)?;
    }
    Ok(())
}

fn api_versions(body: &mut Vec<u8>, version: i16) {
    body.extend(if version == 0 { 0 } else { UNSUPPORTED_VERSION }.to_be_bytes());
    // Fetch is never asked for, but librdkafka wants to see it before it sends batches of version 2.
    let served: [(i16, i16); 4] = [(PRODUCE, PRODUCE_VERSION), (1, 11), (METADATA, 1), (API_VERSIONS, 0)];
    body.extend(4i32.to_be_bytes());
    for (api, newest) in served {
        body.extend(api.to_be_bytes());
        body.extend(0i16.to_be_bytes());
        body.extend(newest.to_be_bytes());
    }
}

fn metadata(body: &mut Vec<u8>, address: SocketAddr, topic: &str, partitions: i32) -> anyhow::Result<()> {
    body.extend(1i32.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    put_string(body, &address.ip().to_string())?;
    body.extend(i32::from(address.port()).to_be_bytes());
    body.extend((-1i16).to_be_bytes()); // no rack
    body.extend(0i32.to_be_bytes()); // controller
    body.extend(1i32.to_be_bytes());
    body.extend(0i16.to_be_bytes());
    put_string(body, topic)?;
    body.push(0); // not internal
    body.extend(partitions.to_be_bytes());
    for index in 0..partitions {
        body.extend(0i16.to_be_bytes());
        // Index, leader, replicas [0], in sync [0].
        for number in [index, 0, 1, 0, 1, 0] {
            body.extend(number.to_be_bytes());
        }
    }
    Ok(())
}

/// Every partition of the request is acknowledged at offset 0.
fn produced(body: &mut Vec<u8>, reader: &mut Reader<'_>) -> anyhow::Result<()> {
    reader.string()?; // transactional id
    reader.i16()?;
    reader.i32()?;
    let topics = reader.i32()?;
    body.extend(topics.to_be_bytes());
    for _ in 0..topics {
        put_string(body, reader.string()?)?;
        let partitions = reader.i32()?;
        body.extend(partitions.to_be_bytes());
        for _ in 0..partitions {
            body.extend(reader.i32()?.to_be_bytes());
            let len = reader.i32()?;
            reader.take(usize::try_from(len)?)?;
            body.extend(0i16.to_be_bytes());
            for number in [0i64, -1, 0] {
                body.extend(number.to_be_bytes());
            }
        }
    }
    body.extend(0i32.to_be_bytes());
    Ok(())
}
