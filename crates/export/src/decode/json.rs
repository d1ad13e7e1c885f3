//! JSON: how its values are read (`parse.rs`), and by which rule columns are inferred from them.
//!
//! The rule. Only objects have columns: one for each field. A field's type is what its values in the first stretch that has the
//! field agree on: `true` and `false` are boolean; numbers without fraction and exponent, in 64 bits, int64; int64 and other
//! numbers together, double; texts, string; objects, structs of their fields; lists, lists of what their elements agree on.
//! What does not agree, integers beyond 64 bits and what lies deeper than [`MAX_DEPTH`] are kept as JSON text. A field that is
//! only ever null, `[]` or `{}` has no column. A column never changes its type: a later value that contradicts it is an error of
//! its row. Fields that come later get columns of their own, from the file on that has them.

mod parse;
mod schema;

pub(crate) use parse::{Node, Number, Of, Parser, parse};
pub(crate) use schema::columns;

use super::fields::{Field, MAX_COLUMNS, Type, WHOLE, column_name, leaves, leaves_of};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Levels of structs and lists that become columns.
const MAX_DEPTH: usize = 16;

/// What has been seen of the values of one field.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Sketch {
    /// Null, or nothing.
    #[default]
    Nothing,
    Boolean,
    Int64,
    Double,
    String,
    Json,
    List(Box<Sketch>),
    Struct(Vec<(String, Sketch)>),
}

impl Sketch {
    /// Takes one more value into account.
    pub(crate) fn see(&mut self, value: &Node<'_>) {
        self.see_at(value, 0);
    }

    fn see_at(&mut self, value: &Node<'_>, depth: usize) {
        let (before, is_deep) = (std::mem::take(self), depth >= MAX_DEPTH);
        *self = match (before, &value.of) {
            (before, Of::Null) => before,
            (Self::Nothing | Self::Boolean, Of::Boolean(_)) => Self::Boolean,
            (Self::Nothing | Self::Int64, Of::Integer(_)) => Self::Int64,
            (Self::Double, Of::Integer(_)) | (Self::Nothing | Self::Int64 | Self::Double, Of::Number(_)) => Self::Double,
            (Self::Nothing | Self::String, Of::Text(_)) => Self::String,
            (_, Of::Object(_) | Of::List(_)) if is_deep => Self::Json,
            (Self::Nothing, Of::List(items)) => see_items(Self::Nothing, items, depth),
            (Self::List(of), Of::List(items)) => see_items(*of, items, depth),
            (Self::Nothing, Of::Object(entries)) => see_entries(Vec::new(), entries, depth),
            (Self::Struct(fields), Of::Object(entries)) => see_entries(fields, entries, depth),
            _ => Self::Json,
        };
    }

    /// The type of a new column; None where nothing is known.
    fn to_type(&self) -> Option<Type> {
        Some(match self {
            Self::Nothing => return None,
            Self::Boolean => Type::Boolean,
            Self::Int64 => Type::Int64,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Json => Type::Json,
            Self::List(of) => Type::List(Box::new(of.to_type()?)),
            Self::Struct(seen) => {
                let mut fields = Vec::new();
                for (name, sketch) in seen {
                    if let Some(of) = sketch.to_type() {
                        let column = column_name(name, &fields, &[]);
                        fields.push(Field { name: name.clone(), column, of });
                    }
                }
                if fields.is_empty() {
                    return None;
                }
                Type::Struct(fields)
            }
        })
    }
}

fn see_items(mut of: Sketch, items: &[Node<'_>], depth: usize) -> Sketch {
    items.iter().for_each(|item| of.see_at(item, depth + 1));
    Sketch::List(Box::new(of))
}

fn see_entries(mut fields: Vec<(String, Sketch)>, entries: &[(Cow<'_, str>, Node<'_>)], depth: usize) -> Sketch {
    for (guess, (name, value)) in entries.iter().enumerate() {
        let at = match fields.get(guess) {
            Some((known, _)) if known == name => Some(guess),
            _ => fields.iter().position(|(known, _)| known == name),
        };
        let has_room = fields.len() <= MAX_COLUMNS;
        match at.and_then(|at| fields.get_mut(at)) {
            Some((_, sketch)) => sketch.see_at(value, depth + 1),
            None if has_room => {
                let mut sketch = Sketch::Nothing;
                sketch.see_at(value, depth + 1);
                fields.push((name.clone().into_owned(), sketch));
            }
            // More than there may be columns.
            None => {}
        }
    }
    Sketch::Struct(fields)
}

/// A value that has no fields, as one with a single field.
pub(crate) fn whole(value: Node<'_>) -> Node<'_> {
    Node { text: value.text, of: Of::Object(vec![(Cow::Borrowed(WHOLE), value)]) }
}

/// What came of new fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evolved {
    /// Some have columns now.
    pub(crate) added: bool,
    /// Some have none, and get none: there are too many, or they are where another type is.
    pub(crate) left_out: bool,
}

/// Adds columns for what was seen and has none, as long as there may be more.
pub(crate) fn evolve(fields: &mut Vec<Field>, seen: &Sketch, taken: &[&str]) -> Evolved {
    let mut evolved = Evolved::default();
    if let Sketch::Struct(seen) = seen {
        let mut room = MAX_COLUMNS.saturating_sub(leaves(fields));
        evolved.add_fields(fields, seen, (&mut room, taken));
    }
    evolved
}

impl Evolved {
    fn add_fields(&mut self, fields: &mut Vec<Field>, seen: &[(String, Sketch)], (room, taken): (&mut usize, &[&str])) {
        let known: BTreeMap<String, usize> = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
        for (name, sketch) in seen {
            if let Some(field) = known.get(name).and_then(|at| fields.get_mut(*at)) {
                self.add_within(&mut field.of, sketch, room);
                continue;
            }
            let Some(of) = sketch.to_type() else { continue };
            if leaves_of(&of) > *room {
                self.left_out = true;
                continue;
            }
            *room -= leaves_of(&of);
            let column = column_name(name, fields, taken);
            fields.push(Field { name: name.clone(), column, of });
            self.added = true;
        }
    }

    fn add_within(&mut self, of: &mut Type, seen: &Sketch, room: &mut usize) {
        match (of, seen) {
            (Type::Struct(fields), Sketch::Struct(seen)) => self.add_fields(fields, seen, (room, &[])),
            (Type::List(of), Sketch::List(seen)) => self.add_within(of, seen, room),
            // There may have been fields among what does not agree.
            (Type::Struct(_) | Type::List(_), Sketch::Json) => self.left_out = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
