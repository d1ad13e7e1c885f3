//! A key, a value or a header as people read it: text where it is text, and said to be JSON where it is that; else its first bytes.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Of what is no text, so many bytes are shown at most: as hexadecimal digits.
const HEX_SHOWN: usize = 512;

/// The first `limit` bytes, and how many there are.
pub(super) fn show(bytes: &[u8], limit: usize) -> Value {
    let size = bytes.len();
    match text(bytes, limit) {
        Some(text) => {
            let cut = text.len() < size;
            json!({ "size": size, "text": text, "json": !cut && is_json(text), "cut": cut })
        }
        None => {
            let shown = bytes.get(..limit.min(HEX_SHOWN)).unwrap_or(bytes);
            json!({ "size": size, "hex": hex(shown), "cut": shown.len() < size })
        }
    }
}

/// The beginning, without the character that is cut; none if it is no text, or holds what no text holds.
fn text(bytes: &[u8], limit: usize) -> Option<&str> {
    let shown = bytes.get(..limit).unwrap_or(bytes);
    let text = match std::str::from_utf8(shown) {
        Ok(text) => text,
        // Cut within a character.
        Err(error) if error.error_len().is_none() && shown.len() < bytes.len() => {
            std::str::from_utf8(shown.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    (!text.contains(is_odd)).then_some(text)
}

/// An object or a list; a number alone is as legible as text.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_are_told_apart_from_bytes() {
        assert_eq!(show(b"plain", 100), json!({ "size": 5, "text": "plain", "json": false, "cut": false }));
        assert_eq!(show(b" {\"a\": [1]}", 100)["json"], json!(true));
        assert_eq!(show(b"{\"a\": ", 100)["json"], json!(false));
        assert_eq!(show(b"12", 100)["json"], json!(false));
        assert_eq!(show(b"", 100), json!({ "size": 0, "text": "", "json": false, "cut": false }));
        for bytes in [&b"\xff\x00\x01"[..], b"a\0b", b"\x1b[31m"] {
            assert!(show(bytes, 100)["hex"].is_string(), "{bytes:?}");
        }
        assert_eq!(show(b"\xff\x00", 100), json!({ "size": 2, "hex": "ff00", "cut": false }));
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_so() {
        assert_eq!(show("aé".as_bytes(), 2), json!({ "size": 3, "text": "a", "json": false, "cut": true }));
        assert_eq!(show(b"[1, 2]", 5), json!({ "size": 6, "text": "[1, 2", "json": false, "cut": true }));
        let long = show(&[0xff; 5_000], 4_000);
        assert_eq!((long["hex"].as_str().unwrap().len(), &long["cut"], &long["size"]), (2 * HEX_SHOWN, &json!(true), &json!(5_000)));
    }

    #[test]
    fn json_that_is_nested_without_end_is_looked_at_without_harm() {
        let deep = "[".repeat(200_000);
        assert_eq!(show(deep.as_bytes(), 1 << 20)["json"], json!(false));
    }
}
