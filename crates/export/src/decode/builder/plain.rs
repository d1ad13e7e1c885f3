//! The short way for what most texts of JSON are: objects whose fields are plain values of their columns' types, mostly in the columns'
//! order. They are read to where the columns take them from, and no tree is made of them. What is anything else is left, to be read as
//! a whole: that finds out what is the matter with it. Both ways make the same rows.

use super::{Column, StructColumn};
use crate::decode::fields::Type;
use crate::decode::json::{Number, Parser};

/// Values in a text that is read so.
const MOST: usize = 1 << 16;

/// What a column gets of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plain {
    /// Null, or nothing.
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    /// Where it stands in the text.
    Text(usize, usize),
    /// The columns within have been told.
    Struct,
}

/// What a field begins with where no blank stands between; None: JSON may write its name in another way only.
pub(super) fn head(name: &str) -> Option<String> {
    let is_odd = name.contains(|letter| matches!(letter, '"' | '\\' | '\0'..'\x20'));
    (!is_odd).then(|| format!("\"{name}\":"))
}

impl StructColumn {
    /// How many values a text is, if it is such an object; each column was told then what it gets.
    pub(super) fn read_whole(&mut self, text: &str) -> Option<usize> {
        let mut parser = Parser::new(text);
        parser.skip_blanks();
        let mut values = 1;
        self.read_object(&mut parser, &mut values)?;
        parser.skip_blanks();
        (parser.at() == text.len()).then_some(values)
    }

    fn read_object(&mut self, parser: &mut Parser<'_>, values: &mut usize) -> Option<()> {
        self.plain.fill(Plain::Null);
        if !parser.take(b'{') {
            return None;
        }
        parser.skip_blanks();
        if parser.take(b'}') {
            return Some(());
        }
        let mut guess = 0;
        loop {
            let at = self.read_name(parser, guess)?;
            *values += 1;
            // Of two fields of one name the last counts, as everywhere.
            let plain = self.columns.get_mut(at)?.read(parser, values)?;
            *self.plain.get_mut(at)? = plain;
            if !parser.take(b',') {
                parser.skip_blanks();
                if parser.take(b'}') {
                    return (*values <= MOST).then_some(());
                }
                if !parser.take(b',') {
                    return None;
                }
            }
            guess += 1;
        }
    }

    /// Which column a name and its colon are of, up to the value behind.
    fn read_name(&self, parser: &mut Parser<'_>, guess: usize) -> Option<usize> {
        let head = self.heads.get(guess).and_then(Option::as_ref);
        if head.is_some_and(|head| parser.take_all(head)) {
            // Most values stand behind the colon.
            if parser.peek().is_some_and(|byte| byte <= b' ') {
                parser.skip_blanks();
            }
            return Some(guess);
        }
        parser.skip_blanks();
        if parser.peek() != Some(b'"') {
            return None;
        }
        let at = self.place(parser.plain_string()?, guess)?;
        parser.skip_blanks();
        if !parser.take(b':') {
            return None;
        }
        parser.skip_blanks();
        Some(at)
    }

    /// Takes the row that was read from this text.
    pub(super) fn push_plain(&mut self, text: &str) {
        self.is_there.append(true);
        for (column, plain) in self.columns.iter_mut().zip(&self.plain) {
            column.push_plain(*plain, text);
        }
    }
}

impl Column {
    /// A value that fits this column.
    fn read(&mut self, parser: &mut Parser<'_>, values: &mut usize) -> Option<Plain> {
        if parser.peek() == Some(b'n') {
            return parser.take_all("null").then_some(Plain::Null);
        }
        match self {
            Self::Boolean(_) if parser.take_all("true") => Some(Plain::Boolean(true)),
            Self::Boolean(_) if parser.take_all("false") => Some(Plain::Boolean(false)),
            Self::Integer(Type::Int64, _) => match number(parser)? {
                Number::Integer(number) => Some(Plain::Integer(number)),
                Number::BigInteger | Number::Double(_) => None,
            },
            Self::Number(..) => match number(parser)? {
                Number::Integer(number) => Some(Plain::Number(number as f64)),
                Number::Double(number) => Some(Plain::Number(number)),
                Number::BigInteger => None,
            },
            Self::Text(_) if parser.peek() == Some(b'"') => {
                let from = parser.at() + 1;
                parser.plain_string().map(|text| Plain::Text(from, from + text.len()))
            }
            Self::Struct(column) => column.read_object(parser, values).map(|()| Plain::Struct),
            _ => None,
        }
    }

    fn push_plain(&mut self, plain: Plain, text: &str) {
        match (self, plain) {
            (Self::Boolean(column), Plain::Boolean(is)) => column.append_value(is),
            (Self::Integer(_, column), Plain::Integer(number)) => column.append_value(number),
            (Self::Number(_, column), Plain::Number(number)) => column.append_value(number),
            (Self::Text(column), Plain::Text(from, to)) => column.append_option(text.get(from..to)),
            (Self::Struct(column), Plain::Struct) => column.push_plain(text),
            (column, _) => column.push(None),
        }
    }
}

fn number(parser: &mut Parser<'_>) -> Option<Number> {
    matches!(parser.peek(), Some(b'-' | b'0'..=b'9')).then(|| parser.number().ok())?
}

#[cfg(test)]
mod tests {
    use crate::decode::builder::Decoded;
    use crate::decode::fields::{Field, Type};
    use crate::decode::json::parse;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn fields() -> Vec<Field> {
        let named = |(name, of): (&str, Type)| Field { name: name.to_owned(), column: name.to_owned(), of };
        let within = [("b", Type::Int64), ("d", Type::String)].map(named).to_vec();
        let types = [Type::Boolean, Type::Int64, Type::Double, Type::String, Type::Json, Type::Int32, Type::List(Box::new(Type::Int64))];
        let plain = ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip(types).map(named);
        plain.chain([("s", Type::Struct(within))].map(named)).collect()
    }

    /// As it is read where there is no short way.
    fn push_whole(columns: &mut Decoded, text: &str) {
        if !parse(text).is_ok_and(|node| columns.push(Some(&node)).is_ok()) {
            columns.push_nulls();
        }
    }

    fn value() -> impl Strategy<Value = String> {
        let plain = r#"null|true|false|nul|-?(0|[1-9][0-9]{0,20})([.][0-9]{1,17})?(e[0-9]{1,3})?|"[a-zü ]{0,9}"|"\\n"|01|"a|\[1,2\]|\{\}"#;
        prop_oneof![9 => plain, 1 => object(plain.boxed())]
    }

    /// Fields mostly in the order of columns, some twice, some of no column.
    fn object(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        vec(("[abcdefgsx]", "[ \t]{0,1}", of), 0..9).prop_map(|mut fields| {
            if fields.len() % 2 == 0 {
                fields.sort();
            }
            let fields: Vec<String> =
                fields.iter().map(|(name, blank, value)| format!("{blank}\"{name}\"{blank}:{blank}{value}")).collect();
            format!("{{{}}}", fields.join(","))
        })
    }

    proptest! {
        #[test]
        fn both_ways_make_the_same_rows(texts in vec((object(value()), "(|||| |x|,)"), 1..20)) {
            let (mut short, mut whole) = (Decoded::new(&fields()), Decoded::new(&fields()));
            for (text, behind) in texts {
                let text = text + &behind;
                push_whole(&mut whole, &text);
                if short.push_text(&text).is_none() {
                    push_whole(&mut short, &text);
                }
            }
            prop_assert_eq!(short.finish().unwrap(), whole.finish().unwrap());
        }
    }

    #[test]
    fn what_is_plain_goes_the_short_way_and_is_counted() {
        let mut columns = Decoded::new(&fields());
        let texts = [
            (r#"{"a":true,"b":-7,"c":1.5,"d":"x","e":"y"}"#, Some(6)),
            (r#" { "d" : "" , "c" : 3 , "a" : null } "#, Some(4)),
            (r#"{"s":{"b":1,"d":"in"},"b":1,"b":2}"#, Some(6)),
            ("{}", Some(1)),
            // Another way leads to these.
            (r#"{"b":1.0}"#, None),
            (r#"{"c":1e999}"#, None),
            (r#"{"d":"\n"}"#, None),
            (r#"{"x":null}"#, None),
            (r#"{"e":1}"#, None),
            (r#"{"f":1}"#, None),
            (r#"{"g":[]}"#, None),
            (r#"{"b":1}x"#, None),
            (r#"{"b":1,}"#, None),
            ("null", None),
            ("", None),
        ];
        for (text, values) in texts {
            assert_eq!(columns.push_text(text), values, "{text}");
            assert_eq!(parse(text).ok().map(|node| node.values()).filter(|_| values.is_some()), values, "{text}");
        }
        let rows: Vec<usize> = columns.finish().expect("columns").iter().map(|column| column.len()).collect();
        assert_eq!(rows, [4; 8], "what was not taken is not there");
    }

    #[test]
    fn a_name_that_looks_like_other_fields_is_not_taken_for_them() {
        for (name, text) in [("a\":1,\"b", r#"{"a":1,"b":2}"#), ("t\\n", r#"{"t\n":1}"#), ("t\n", "{\"t\n\":1}")] {
            let field = Field { name: name.to_owned(), column: "c".to_owned(), of: Type::Int64 };
            assert_eq!(Decoded::new(&[field]).push_text(text), None, "{text}");
        }
    }
}
