//! The two requests that pages of metrics and the like need.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::TcpStream;

pub(crate) fn get(url: &str, path: &str) -> anyhow::Result<String> {
    exchange(url, &format!("GET {path} HTTP/1.1"), "")
}

pub(crate) fn post(url: &str, path: &str, json: &str) -> anyhow::Result<String> {
    exchange(url, &format!("POST {path} HTTP/1.1"), json)
}

fn exchange(url: &str, line: &str, body: &str) -> anyhow::Result<String> {
    let host = url.strip_prefix("http://").context("not http")?.trim_end_matches('/');
    let mut stream = TcpStream::connect(host)?;
    let (len, kind) = (body.len(), if body.is_empty() { "" } else { "Content-Type: application/json\r\n" });
    write!(stream, "{line}\r\nHost: {host}\r\nConnection: close\r\n{kind}Content-Length: {len}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not HTTP")?;
    if !head.starts_with("HTTP/1.1 2") {
        bail!("{line}: {head}");
    }
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { whole(body) } else { Ok(body.to_owned()) }
}

/// What came in chunks, each behind a line with its length.
fn whole(mut body: &str) -> anyhow::Result<String> {
    let mut whole = String::new();
    loop {
        let (len, rest) = body.split_once("\r\n").context("a chunk without its length")?;
        let len = usize::from_str_radix(len, 16)?;
        if len == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..len).context("a chunk is cut")?);
        body = rest.get(len + 2..).context("a chunk is cut")?;
    }
}
