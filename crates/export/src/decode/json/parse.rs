//! A strict, bounded reader of JSON (RFC 8259) that borrows from the text, keeps where each value stands in it, and tells
//! integers from other numbers.

use std::borrow::Cow;

/// Levels that a value may have, and values in it: what is more is not read.
const MAX_LEVELS: usize = 200;
const MAX_VALUES: usize = 1 << 20;
/// Room for the fields of a value, to begin with.
const FIELDS: usize = 16;

/// Digits of an integer that 64 bits hold for certain, and of one that a double holds.
const EXACT_INTEGER: usize = 18;
const EXACT_DOUBLE: usize = 15;
/// Powers of ten that a double holds, as far as there are digits.
const TENS: [f64; EXACT_DOUBLE + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Each byte's lowest, and highest bit.
const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// A value, and its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node<'a> {
    pub(crate) text: &'a str,
    pub(crate) of: Of<'a>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Of<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// An integer that 64 bits do not hold.
    BigInteger,
    Number(f64),
    /// None of JSON's own.
    Bytes(&'a [u8]),
    Decimal(i128),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Of<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Integer(_) => "an integer",
            Self::BigInteger => "an integer beyond 64 bits",
            Self::Number(_) => "a number",
            Self::Bytes(_) => "bytes",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Node<'_> {
    /// How many values it is of, all within it counted.
    pub(crate) fn values(&self) -> usize {
        1 + match &self.of {
            Of::List(items) => items.iter().map(Self::values).sum(),
            Of::Object(entries) => entries.iter().map(|(_, node)| node.values()).sum::<usize>(),
            _ => 0,
        }
    }

    /// Whether no column could be made of it.
    pub(crate) fn says_nothing(&self) -> bool {
        match &self.of {
            Of::Null => true,
            Of::List(items) => items.iter().all(Self::says_nothing),
            Of::Object(entries) => entries.iter().all(|(_, node)| node.says_nothing()),
            _ => false,
        }
    }
}

const NOTHING: Node<'static> = Node { text: "", of: Of::Null };

/// # Errors
/// What is wrong, and at which byte.
pub(crate) fn parse(text: &str) -> Result<Node<'_>, String> {
    let mut parser = Parser::new(text);
    parser.skip_blanks();
    let mut node = NOTHING;
    parser.value(0, &mut node)?;
    parser.skip_blanks();
    if parser.at == text.len() { Ok(node) } else { Err(parser.wrong("something follows the value")) }
}

/// Puts a value where nothing is, so that there is nothing to be dropped.
#[inline]
fn put<'a>(into: &mut Node<'a>, of: Of<'a>) {
    std::mem::forget(std::mem::replace(&mut into.of, of));
}

/// A number: see [`Of`].
pub(crate) enum Number {
    Integer(i64),
    BigInteger,
    Double(f64),
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, values: 0 }
    }

    /// Where it stands in the text, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn wrong(&self, what: &str) -> String {
        format!("no JSON: {what} at byte {}", self.at)
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    /// Reads a value to where it is going to stay, and where nothing is: large as it is, it is not to be handed from one to the other.
    fn value(&mut self, level: usize, into: &mut Node<'a>) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        let start = self.at;
        match self.peek() {
            Some(b'"') => match self.plain_string() {
                Some(text) => put(into, Of::Text(Cow::Borrowed(text))),
                None => put(into, Of::Text(Cow::Owned(self.odd_string()?))),
            },
            Some(b'-' | b'0'..=b'9') => match self.number()? {
                Number::Integer(number) => put(into, Of::Integer(number)),
                Number::BigInteger => put(into, Of::BigInteger),
                Number::Double(number) => put(into, Of::Number(number)),
            },
            Some(b'{') => put(into, Of::Object(self.object(level)?)),
            Some(b'[') => put(into, Of::List(self.list(level)?)),
            Some(b't') => self.word("true", Of::Boolean(true), into)?,
            Some(b'f') => self.word("false", Of::Boolean(false), into)?,
            Some(b'n') => self.word("null", Of::Null, into)?,
            Some(_) => return Err(self.wrong("no value begins so")),
            None => return Err(self.wrong("it ends where a value should be")),
        }
        into.text = &self.text[start..self.at];
        Ok(())
    }

    fn word(&mut self, word: &str, of: Of<'a>, into: &mut Node<'a>) -> Result<(), String> {
        if !self.take_all(word) {
            return Err(self.wrong("no value begins so"));
        }
        put(into, of);
        Ok(())
    }

    pub(crate) fn take_all(&mut self, word: &str) -> bool {
        let is_it = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if is_it { word.len() } else { 0 };
        is_it
    }

    fn deeper(&self, level: usize) -> Result<usize, String> {
        if level >= MAX_LEVELS { Err(format!("it has more than {MAX_LEVELS} levels")) } else { Ok(level + 1) }
    }

    fn object(&mut self, level: usize) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, String> {
        let mut entries = Vec::with_capacity(if level == 0 { FIELDS } else { 0 });
        let level = self.deeper(level)?;
        self.at += 1;
        self.skip_blanks();
        if self.take(b'}') {
            return Ok(entries);
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a field's name should be"));
            }
            match self.plain_string() {
                Some(name) => entries.push((Cow::Borrowed(name), NOTHING)),
                None => entries.push((Cow::Owned(self.odd_string()?), NOTHING)),
            }
            self.skip_blanks();
            if !self.take(b':') {
                return Err(self.wrong("a colon should be"));
            }
            self.skip_blanks();
            if let Some((_, node)) = entries.last_mut() {
                self.value(level, node)?;
            }
            self.skip_blanks();
            if self.take(b'}') {
                return Ok(entries);
            }
            if !self.take(b',') {
                return Err(self.wrong("a comma or the object's end should be"));
            }
        }
    }

    fn list(&mut self, level: usize) -> Result<Vec<Node<'a>>, String> {
        let (level, mut items) = (self.deeper(level)?, Vec::new());
        self.at += 1;
        self.skip_blanks();
        if self.take(b']') {
            return Ok(items);
        }
        loop {
            self.skip_blanks();
            items.push(NOTHING);
            if let Some(node) = items.last_mut() {
                self.value(level, node)?;
            }
            self.skip_blanks();
            if self.take(b']') {
                return Ok(items);
            }
            if !self.take(b',') {
                return Err(self.wrong("a comma or the list's end should be"));
            }
        }
    }

    pub(crate) fn number(&mut self) -> Result<Number, String> {
        let start = self.at;
        let is_negative = self.take(b'-');
        let first = self.peek();
        let (mut mantissa, mut fraction, mut is_integer, mut has_exponent) = (0, 0, true, false);
        let mut digits = self.digits(&mut mantissa)?;
        if first == Some(b'0') && digits > 1 {
            return Err(self.wrong("a number begins with a zero"));
        }
        if self.take(b'.') {
            is_integer = false;
            fraction = self.digits(&mut mantissa)?;
            digits += fraction;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            (is_integer, has_exponent) = (false, true);
            self.at += 1;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits(&mut 0)?;
        }
        let text = &self.text[start..self.at];
        if is_integer {
            let plain = i64::try_from(mantissa).ok().filter(|_| digits <= EXACT_INTEGER);
            let plain = plain.map(|number| if is_negative { -number } else { number });
            return Ok(plain.or_else(|| text.parse().ok()).map_or(Number::BigInteger, Number::Integer));
        }
        let number = match TENS.get(fraction) {
            // Both are doubles exactly, so that their quotient is the double that is nearest.
            Some(tens) if digits <= EXACT_DOUBLE && !has_exponent => {
                let number = mantissa as f64 / tens;
                if is_negative { -number } else { number }
            }
            _ => text.parse().map_err(|_| self.wrong("no number is so"))?,
        };
        if !number.is_finite() {
            return Err(self.wrong("a number too large for a double"));
        }
        Ok(Number::Double(number))
    }

    /// How many there are. What they say is added to `number`, which means nothing where they are more than it holds.
    fn digits(&mut self, number: &mut u64) -> Result<usize, String> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit should be")) } else { Ok(self.at - start) }
    }

    /// A text without escapes; None: it has some, or is none.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        self.at = start;
        self.skip_plain();
        if self.take(b'"') {
            return self.text.get(start..self.at - 1);
        }
        self.at = start - 1;
        None
    }

    fn odd_string(&mut self) -> Result<String, String> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        match self.peek() {
            Some(b'\\') => self.escaped(start),
            Some(_) => Err(self.wrong("a control character in a text")),
            None => Err(self.wrong("a text does not end")),
        }
    }

    /// Goes on to the next quote, backslash or control character, eight bytes at a time: in `word - ONES & !word & HIGHS` the lowest
    /// bit that is set is that of the first byte that is zero.
    fn skip_plain(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(*chunk);
            let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
            let found = (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word);
            if found & HIGHS != 0 {
                self.at += ((found & HIGHS).trailing_zeros() / 8) as usize;
                return;
            }
            self.at += chunk.len();
        }
        while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
            self.at += 1;
        }
    }

    /// The rest of a text that has escapes.
    fn escaped(&mut self, start: usize) -> Result<String, String> {
        let mut out = self.text[start..self.at].to_owned();
        loop {
            let plain = self.at;
            self.skip_plain();
            out.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.wrong("a control character in a text")),
                None => return Err(self.wrong("a text does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let code = self.peek().ok_or_else(|| self.wrong("a text does not end"))?;
        self.at += 1;
        Ok(match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.wrong("no escape is so")),
        })
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.wrong("half a character"));
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(self.wrong("half a character"));
        }
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.wrong("half a character"));
        }
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or_else(|| self.wrong("half a character"))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(|| self.wrong("four hex digits should be"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.wrong("four hex digits should be"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for bad in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "1 2",
            "[1 2]",
            "{\"a\" 1}",
            "NaN",
            "1e999",
            "\"\\u12g4\"",
            "\"\\u12",
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.contains("at byte"), "{bad}: {error}");
        }
        assert!(parse(&"[".repeat(201)).unwrap_err().contains("levels"));
        assert!(parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_ok());
        assert!(parse(&format!("[{}0]", "0,".repeat(MAX_VALUES))).unwrap_err().contains("values"));
    }

    #[test]
    fn numbers_are_told_apart() {
        let of = |text| parse(text).unwrap().of;
        assert_eq!(of("-9223372036854775808"), Of::Integer(i64::MIN));
        assert_eq!(of("9223372036854775808"), Of::BigInteger);
        assert_eq!(of("1.0"), Of::Number(1.0));
        assert_eq!(of("1E2"), Of::Number(100.0));
        assert_eq!(of("-0"), Of::Integer(0));
    }

    #[test]
    fn a_text_ends_at_its_first_quote_wherever_that_is_and_whatever_is_beside_it() {
        for len in 0..40 {
            for filler in ["a", " ", "~", "\u{7f}", "\u{80}", "\u{a2}", "\u{2022}", "\u{10ffff}", "!", "#", "]", "["] {
                let text = filler.repeat(len);
                assert_eq!(parse(&format!("[\"{text}\",\"\"]")).map(|node| node.values()), Ok(3), "{filler} {len}");
                let escaped = format!("\"{text}\\\"{text}\"");
                assert_eq!(parse(&escaped).unwrap().of, Of::Text(Cow::Owned(format!("{text}\"{text}"))));
                for control in [0, 1, 0x1f_u8] {
                    let error = parse(&format!("\"{text}{}{text}\"", char::from(control))).unwrap_err();
                    assert!(error.contains(&format!("control character in a text at byte {}", 1 + text.len())), "{error}");
                }
            }
        }
    }

    /// As `serde_json` reads it.
    fn same(node: &Node<'_>, value: &serde_json::Value) -> bool {
        match (&node.of, value) {
            (Of::Null, serde_json::Value::Null) => true,
            (Of::Boolean(a), serde_json::Value::Bool(b)) => a == b,
            (Of::Integer(a), serde_json::Value::Number(b)) => b.as_i64() == Some(*a) || b.as_f64() == Some(*a as f64),
            (Of::BigInteger, serde_json::Value::Number(_)) => true,
            (Of::Number(a), serde_json::Value::Number(b)) => b.as_f64().is_some_and(|b| (a - b).abs() <= f64::EPSILON * a.abs()),
            (Of::Text(a), serde_json::Value::String(b)) => a == b,
            (Of::List(a), serde_json::Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Of::Object(a), serde_json::Value::Object(b)) => {
                let last: std::collections::BTreeMap<_, _> = a.iter().map(|(name, node)| (name.to_string(), node)).collect();
                last.len() == b.len() && last.iter().all(|(name, node)| b.get(name).is_some_and(|b| same(node, b)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn numbers_are_what_the_standard_library_reads(text in "-?(0|[1-9][0-9]{0,24})([.][0-9]{1,24})?([eE][+-]?[0-9]{1,2})?") {
            match parse(&text).unwrap().of {
                Of::Integer(number) => prop_assert_eq!(Ok(number), text.parse::<i64>()),
                Of::BigInteger => prop_assert!(text.parse::<i64>().is_err() && !text.contains(['.', 'e', 'E'])),
                Of::Number(number) => prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits()),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn it_reads_what_serde_json_reads_and_refuses_what_that_refuses(text in r#"([\[\]{},:" ]|true|null|-?[0-9]{1,3}|\.5|e3|"[a-z\\nu0-9]{0,6}"|"k":){0,12}"#) {
            match (parse(&text), serde_json::from_str::<serde_json::Value>(&text)) {
                (Ok(node), Ok(value)) => prop_assert!(same(&node, &value), "{text}: {node:?}"),
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{text}: {ours:?}, serde_json: {theirs:?}"),
            }
        }
    }
}
