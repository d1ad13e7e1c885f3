//! The text of a `.proto` file: what of the language (protobuf.dev, proto2, proto3 and editions) says how bytes are read.

use super::{EnumDef, FieldDef, File, Label, MAX_LEVELS, MAX_PARTS, MessageDef, Named, Scalar};

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Text(String),
    Sign(char),
    End,
}

/// # Errors
/// What is wrong, and in which line.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let mut parser = Parser { text, at: 0, next: Token::End, parts: 0, implicit: false };
    parser.step()?;
    parser.file()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    next: Token<'a>,
    parts: usize,
    implicit: bool,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> String {
        let line = self.text.get(..self.at).unwrap_or(self.text).matches('\n').count() + 1;
        format!("no .proto: {what}, line {line}")
    }

    fn file(&mut self) -> Result<File, String> {
        let mut file = File::default();
        loop {
            match self.next.clone() {
                Token::End => break,
                Token::Sign(';') => self.step()?,
                Token::Word("syntax" | "edition") => {
                    self.step()?;
                    self.expect('=')?;
                    self.implicit = self.text_token()? == "proto3";
                    self.expect(';')?;
                }
                Token::Word("package") => {
                    self.step()?;
                    self.word()?.clone_into(&mut file.package);
                    self.expect(';')?;
                }
                Token::Word("import") => {
                    self.step()?;
                    if matches!(self.next, Token::Word("public" | "weak" | "option")) {
                        self.step()?;
                    }
                    self.text_token()?;
                    self.expect(';')?;
                }
                Token::Word("message") => file.messages.push(self.message(0)?),
                Token::Word("enum") => file.enums.push(self.enumeration()?),
                Token::Word("option" | "service" | "extend" | "export" | "local") => self.skip_statement()?,
                _ => return Err(self.wrong("no declaration begins so")),
            }
        }
        file.implicit = self.implicit;
        Ok(file)
    }

    fn message(&mut self, level: usize) -> Result<MessageDef, String> {
        if level > MAX_LEVELS {
            return Err(format!("it has more than {MAX_LEVELS} levels"));
        }
        self.step()?;
        let mut message = MessageDef { name: self.word()?.to_owned(), ..MessageDef::default() };
        self.expect('{')?;
        while !self.take('}')? {
            match self.next.clone() {
                Token::Word("message") => message.messages.push(self.message(level + 1)?),
                Token::Word("enum") => message.enums.push(self.enumeration()?),
                Token::Word("option" | "extend" | "extensions" | "reserved") => self.skip_statement()?,
                Token::Word("oneof") => self.one_of(&mut message.fields)?,
                Token::Sign(';') => self.step()?,
                Token::Word(_) | Token::Sign('.') => message.fields.push(self.labelled()?),
                _ => return Err(self.wrong("no field begins so")),
            }
        }
        Ok(message)
    }

    fn one_of(&mut self, fields: &mut Vec<FieldDef>) -> Result<(), String> {
        self.step()?;
        self.word()?;
        self.expect('{')?;
        while !self.take('}')? {
            match self.next {
                Token::Word("option") => self.skip_statement()?,
                Token::Sign(';') => self.step()?,
                _ => fields.push(self.field(Label::Explicit)?),
            }
        }
        Ok(())
    }

    fn labelled(&mut self) -> Result<FieldDef, String> {
        let label = match self.next {
            Token::Word("repeated") => Label::Repeated,
            Token::Word("optional" | "required") => Label::Explicit,
            _ => return self.field(if self.implicit { Label::Implicit } else { Label::Explicit }),
        };
        self.step()?;
        self.field(label)
    }

    fn field(&mut self, label: Label) -> Result<FieldDef, String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} fields"));
        }
        if self.next == Token::Word("group") {
            return Err(self.wrong("groups are not read"));
        }
        let of = self.type_of()?;
        let name = self.word()?.to_owned();
        self.expect('=')?;
        let number = self.number()?;
        let number = u32::try_from(number)
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or_else(|| self.wrong("no field has this number"))?;
        if self.next == Token::Sign('[') {
            self.skip_brackets('[', ']')?;
        }
        self.expect(';')?;
        Ok(FieldDef { name, number, label, of })
    }

    fn type_of(&mut self) -> Result<Named, String> {
        let name = self.type_name()?;
        if name != "map" || self.next != Token::Sign('<') {
            return Ok(Scalar::parse(&name).map_or(Named::Name(name), Named::Scalar));
        }
        self.step()?;
        let key = self.type_name()?;
        let key = Scalar::parse(&key).ok_or_else(|| self.wrong("no key of a map is of this type"))?;
        self.expect(',')?;
        let value = self.type_name()?;
        self.expect('>')?;
        Ok(Named::Map(key, Box::new(Scalar::parse(&value).map_or(Named::Name(value), Named::Scalar))))
    }

    fn type_name(&mut self) -> Result<String, String> {
        let absolute = self.take('.')?;
        let word = self.word()?;
        Ok(if absolute { format!(".{word}") } else { word.to_owned() })
    }

    fn enumeration(&mut self) -> Result<EnumDef, String> {
        self.step()?;
        let mut found = EnumDef { name: self.word()?.to_owned(), values: Vec::new() };
        self.expect('{')?;
        while !self.take('}')? {
            match self.next {
                Token::Word("option" | "reserved") => self.skip_statement()?,
                Token::Sign(';') => self.step()?,
                _ => {
                    self.parts += 1;
                    if self.parts > MAX_PARTS {
                        return Err(format!("it has more than {MAX_PARTS} parts"));
                    }
                    let name = self.word()?.to_owned();
                    self.expect('=')?;
                    let number = self.number()?;
                    if self.next == Token::Sign('[') {
                        self.skip_brackets('[', ']')?;
                    }
                    self.expect(';')?;
                    found.values.push((name, number));
                }
            }
        }
        Ok(found)
    }

    /// Over everything up to a semicolon, or to the end of the braces that come before one.
    fn skip_statement(&mut self) -> Result<(), String> {
        loop {
            match self.next {
                Token::Sign(';') => return self.step(),
                Token::Sign('{') => {
                    self.skip_brackets('{', '}')?;
                    if self.next != Token::Sign(';') {
                        return Ok(());
                    }
                }
                Token::Sign('[') => self.skip_brackets('[', ']')?,
                Token::End => return Err(self.wrong("it ends in a declaration")),
                _ => self.step()?,
            }
        }
    }

    fn skip_brackets(&mut self, open: char, close: char) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            match self.next {
                Token::Sign(sign) if sign == open => depth += 1,
                Token::Sign(sign) if sign == close => depth -= 1,
                Token::End => return Err(self.wrong("a bracket is not closed")),
                _ => {}
            }
            self.step()?;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let Token::Word(word) = self.next else { return Err(self.wrong("a name should be")) };
        self.step()?;
        Ok(word)
    }

    fn text_token(&mut self) -> Result<String, String> {
        let Token::Text(text) = std::mem::replace(&mut self.next, Token::End) else { return Err(self.wrong("a text should be")) };
        self.step()?;
        Ok(text)
    }

    fn number(&mut self) -> Result<i64, String> {
        let negative = self.take('-')?;
        let word = self.word()?;
        let parsed = match word.get(..2) {
            Some("0x" | "0X") => i64::from_str_radix(&word[2..], 16),
            Some(_) if word.starts_with('0') => i64::from_str_radix(&word[1..], 8),
            _ => word.parse(),
        };
        let number = parsed.map_err(|_| self.wrong("a number should be"))?;
        Ok(if negative { -number } else { number })
    }

    fn take(&mut self, sign: char) -> Result<bool, String> {
        let is_it = self.next == Token::Sign(sign);
        if is_it {
            self.step()?;
        }
        Ok(is_it)
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign)? { Ok(()) } else { Err(self.wrong(&format!("{sign} should be"))) }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn step(&mut self) -> Result<(), String> {
        self.skip_blanks()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            self.next = Token::End;
            return Ok(());
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if first == '"' || first == '\'' {
            let end = self.quoted(first)?;
            self.next = Token::Text(rest[1..end].to_owned());
            self.at += end + 1;
        } else if is_word(first) && first != '.' {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            self.next = Token::Word(&rest[..len]);
            self.at += len;
        } else {
            self.next = Token::Sign(first);
            self.at += first.len_utf8();
        }
        Ok(())
    }

    /// Where a text that begins here ends. Escapes matter to nobody but that an escaped quote does not end it.
    fn quoted(&self, quote: char) -> Result<usize, String> {
        let (mut escaped, rest) = (false, self.rest());
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\n' => break,
                c if c == quote => return Ok(at),
                _ => {}
            }
        }
        Err(self.wrong("a text does not end"))
    }

    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                self.at += trimmed.find("*/").ok_or_else(|| self.wrong("a comment does not end"))? + 2;
            } else {
                return Ok(());
            }
        }
    }
}
