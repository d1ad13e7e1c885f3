//! Walks a value and its description side by side.

use crate::doc::{FieldDoc, TypeDoc, VariantDoc, text};
use serde_json::{Map, Value};

/// A stored value with its place, its name and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Such as `body.partitions[0].log_start`.
    pub field: String,
    /// As JSON would show it; strings without quotes.
    pub value: String,
    pub meaning: String,
}

/// Where the walk is: exactly (`segments[3].bytes`), and with `[]` for any element and `{}` for any key.
#[derive(Clone)]
struct Path {
    exact: String,
    general: String,
}

impl Path {
    fn field(&self, name: &str) -> Self {
        Self { exact: format!("{}.{name}", self.exact), general: format!("{}.{name}", self.general) }
    }
    fn element(&self, index: usize) -> Self {
        Self { exact: format!("{}[{index}]", self.exact), general: format!("{}[]", self.general) }
    }
    fn key(&self, key: &str) -> Self {
        Self { exact: format!("{}{{{key}}}", self.exact), general: format!("{}{{}}", self.general) }
    }
}

/// What a walk gathers.
#[derive(Default)]
pub(super) struct Walk {
    /// The meaning of every field and variant that occurs, by general path.
    pub(super) meanings: Map<String, Value>,
    /// Every value that is not made of others, in order.
    pub(super) rows: Vec<Row>,
}

impl Walk {
    pub(super) fn part(&mut self, title: &str, value: &Value, doc: &TypeDoc) {
        self.value(&Path { exact: title.to_owned(), general: title.to_owned() }, value, doc, &[]);
    }

    fn value(&mut self, path: &Path, value: &Value, doc: &TypeDoc, meaning: &[&str]) {
        match (doc, value) {
            (TypeDoc::Optional(of), value) if !value.is_null() => self.value(path, value, of, meaning),
            (TypeDoc::Struct { fields, .. }, Value::Object(members)) => self.fields(path, members, fields),
            (TypeDoc::Enum { variants, .. }, Value::Object(members)) => {
                for (name, inner) in members {
                    if let Some(variant) = variants.iter().find(|variant| variant.name == name) {
                        self.variant(&path.field(name), inner, variant);
                    }
                }
            }
            (TypeDoc::Enum { variants, .. }, Value::String(name)) => {
                let of_variant = variants.iter().find(|variant| variant.name == name).map_or(&[] as &[&str], |variant| variant.meaning);
                self.mean(format!("{}={name}", path.general), of_variant);
                self.row(path, value, format!("{} {name}: {}", text(meaning), text(of_variant)));
            }
            (TypeDoc::List(of), Value::Array(elements)) if !elements.is_empty() => {
                for (index, element) in elements.iter().enumerate() {
                    self.value(&path.element(index), element, of, meaning);
                }
            }
            (TypeDoc::Map(_, of), Value::Object(members)) if !members.is_empty() => {
                for (key, member) in members {
                    self.value(&path.key(key), member, of, meaning);
                }
            }
            _ => self.row(path, value, text(meaning)),
        }
    }

    fn variant(&mut self, path: &Path, inner: &Value, variant: &VariantDoc) {
        self.mean(path.general.clone(), variant.meaning);
        match (variant.of, inner) {
            (Some(of), inner) => self.value(path, inner, of, variant.meaning),
            (None, Value::Object(members)) => self.fields(path, members, variant.fields),
            _ => self.row(path, inner, text(variant.meaning)),
        }
    }

    fn fields(&mut self, path: &Path, members: &Map<String, Value>, fields: &[FieldDoc]) {
        for field in fields {
            if let Some(value) = members.get(field.name) {
                let path = path.field(field.name);
                self.mean(path.general.clone(), field.meaning);
                self.value(&path, value, field.of, field.meaning);
            }
        }
    }

    fn mean(&mut self, path: String, meaning: &[&str]) {
        self.meanings.entry(path).or_insert_with(|| text(meaning).into());
    }

    fn row(&mut self, path: &Path, value: &Value, meaning: String) {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => "none".to_owned(),
            Value::Array(_) | Value::Object(_) => "empty".to_owned(),
            value => value.to_string(),
        };
        self.rows.push(Row { field: path.exact.clone(), value, meaning });
    }
}
