//! JSON Schema (drafts 4 to 2020-12), as far as it says which columns values have. It judges no value beyond their types: what fits its
//! columns is taken, and fields that it does not name are inferred as those of values without a schema.

use crate::decode::fields::{Field, MAX_COLUMNS, Type, column_name, schema_json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Levels that become columns, as in values; and steps of a schema that are looked at.
const MAX_LEVELS: usize = super::MAX_DEPTH;
const MAX_STEPS: usize = 50 * MAX_COLUMNS;

/// The columns of values of this schema. `references`: texts by the names that it has for them.
///
/// # Errors
/// It is no schema; of something that is no object; too large.
pub(crate) fn columns(text: &str, references: &[(String, String)], taken: &[&str]) -> Result<Vec<Field>, String> {
    let mut texts = BTreeMap::from([(String::new(), schema_json(text)?)]);
    for (name, text) in references {
        texts.insert(name.clone(), schema_json(text)?);
    }
    let mut looker = Looker { texts: &texts, open: Vec::new(), steps: 0, taken };
    let root = texts.get("").unwrap_or(&Value::Null);
    match looker.type_of(root, "", 0)? {
        Some(Type::Struct(fields)) => Ok(fields),
        _ => Err("its values are no objects with fields of their own".to_owned()),
    }
}

struct Looker<'a> {
    texts: &'a BTreeMap<String, Value>,
    /// References that are being followed: what comes back to one has no end.
    open: Vec<String>,
    steps: usize,
    /// Names of columns that are taken at the top.
    taken: &'a [&'a str],
}

impl<'a> Looker<'a> {
    /// None: nothing is known of it but that it is null.
    fn type_of(&mut self, schema: &'a Value, base: &str, level: usize) -> Result<Option<Type>, String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err("the schema is too large".to_owned());
        }
        let object = match schema {
            Value::Object(object) => object,
            Value::Bool(_) => return Ok(Some(Type::Json)),
            _ => return Err("a schema in it is no object".to_owned()),
        };
        if let Some(to) = object.get("$ref").and_then(Value::as_str) {
            return self.follow(to, base, level);
        }
        let several = ["anyOf", "oneOf"].into_iter().find_map(|of| object.get(of).and_then(Value::as_array));
        if let Some(several) = several {
            return self.common(several, base, level);
        }
        let kinds: Vec<&str> = match object.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
            _ if object.contains_key("properties") => vec!["object"],
            _ => return Ok(Some(listed(object))),
        };
        Ok(match kinds.as_slice() {
            [] | ["null"] => None,
            ["boolean"] => Some(Type::Boolean),
            ["integer"] => Some(Type::Int64),
            ["number"] | ["integer", "number"] | ["number", "integer"] => Some(Type::Double),
            ["string"] => Some(Type::String),
            ["array" | "object"] if level >= MAX_LEVELS => Some(Type::Json),
            ["array"] => match object.get("items") {
                Some(items @ (Value::Object(_) | Value::Bool(_))) => {
                    self.type_of(items, base, level + 1)?.map(|of| Type::List(Box::new(of)))
                }
                _ => Some(Type::Json),
            },
            ["object"] => self.object(object, base, level)?,
            _ => Some(Type::Json),
        })
    }

    fn object(&mut self, object: &'a Map<String, Value>, base: &str, level: usize) -> Result<Option<Type>, String> {
        let Some(Value::Object(properties)) = object.get("properties").filter(|of| of.as_object().is_some_and(|of| !of.is_empty())) else {
            let of = match object.get("additionalProperties") {
                Some(of @ Value::Object(_)) => self.type_of(of, base, level + 1)?,
                _ => return Ok(Some(Type::Json)),
            };
            return Ok(of.map(|of| Type::Map(Box::new(of))));
        };
        if properties.len() > MAX_COLUMNS {
            return Err(format!("{} columns are more than the {MAX_COLUMNS} that a table may have", properties.len()));
        }
        let mut fields: Vec<Field> = Vec::new();
        for (name, schema) in properties {
            if let Some(of) = self.type_of(schema, base, level + 1)? {
                let column = column_name(name, &fields, if level == 0 { self.taken } else { &[] });
                fields.push(Field { name: name.clone(), column, of });
            }
        }
        Ok((!fields.is_empty()).then_some(Type::Struct(fields)))
    }

    /// What is left of several without null, where that is one type; else any JSON.
    fn common(&mut self, several: &'a [Value], base: &str, level: usize) -> Result<Option<Type>, String> {
        let mut common = None;
        for schema in several {
            match (self.type_of(schema, base, level)?, &common) {
                (None, _) => {}
                (Some(of), None) => common = Some(of),
                (Some(of), Some(before)) if of == *before => {}
                (Some(_), Some(_)) => return Ok(Some(Type::Json)),
            }
        }
        Ok(common)
    }

    /// `#/$defs/name` of this text, or of one that it refers to by name.
    fn follow(&mut self, to: &str, base: &str, level: usize) -> Result<Option<Type>, String> {
        let (text, pointer) = to.split_once('#').unwrap_or((to, ""));
        let text = if text.is_empty() { base } else { text };
        let whole = format!("{text}#{pointer}");
        if self.open.contains(&whole) {
            return Ok(Some(Type::Json));
        }
        let texts = self.texts;
        let found = texts.get(text).and_then(|of| of.pointer(pointer)).ok_or_else(|| format!("it refers to {to}, which is not there"))?;
        self.open.push(whole);
        let of = self.type_of(found, text, level);
        self.open.pop();
        of
    }
}

/// Of a schema without a type, what the values that it lists have in common.
fn listed(object: &Map<String, Value>) -> Type {
    let values = object.get("const").into_iter().chain(object.get("enum").and_then(Value::as_array).into_iter().flatten());
    let mut values = values.filter(|value| !value.is_null()).peekable();
    if values.peek().is_some() && values.all(Value::is_string) { Type::String } else { Type::Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<(String, Type)> {
        columns(text, &[], &["key"]).unwrap().into_iter().map(|field| (field.column, field.of)).collect()
    }

    #[test]
    fn types_become_columns() {
        let text = r##"{"type": "object", "$defs": {"point": {"properties": {"x": {"type": "number"}, "more": {"$ref": "#/$defs/point"}}}},
            "properties": {
                "id": {"type": "integer"}, "on": {"type": ["boolean", "null"]}, "name": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "mixed": {"type": ["string", "integer"]}, "tags": {"type": "array", "items": {"type": "string"}}, "nothing": {"type": "null"},
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}}, "free": {"type": "object"}, "any": {},
                "at": {"$ref": "#/$defs/point"}, "kind": {"enum": ["A", "B", null]}, "tuple": {"type": "array", "items": [{}, {}]}, "key": {"type": "string"}}}"##;
        let found: BTreeMap<String, Type> = named(text).into_iter().collect();
        let of = |name: &str| found.get(name).cloned();
        assert_eq!((of("id"), of("on"), of("name")), (Some(Type::Int64), Some(Type::Boolean), Some(Type::String)));
        assert_eq!(
            (of("mixed"), of("free"), of("any"), of("tuple")),
            (Some(Type::Json), Some(Type::Json), Some(Type::Json), Some(Type::Json))
        );
        assert_eq!((of("tags"), of("counts")), (Some(Type::List(Box::new(Type::String))), Some(Type::Map(Box::new(Type::Int64)))));
        assert_eq!((of("nothing"), of("kind"), of("value_key")), (None, Some(Type::String), Some(Type::String)));
        let Some(Type::Struct(point)) = of("at") else { panic!("a struct") };
        assert_eq!(
            point.iter().map(|field| (field.name.as_str(), field.of.clone())).collect::<Vec<_>>(),
            [("more", Type::Json), ("x", Type::Double)]
        );
    }

    #[test]
    fn references_by_name_are_other_texts() {
        let other = r##"{"definitions": {"n": {"type": "integer"}}, "properties": {"n": {"$ref": "#/definitions/n"}}}"##.to_owned();
        let text = r#"{"properties": {"a": {"$ref": "other.json"}}}"#;
        let fields = columns(text, &[("other.json".to_owned(), other)], &[]).unwrap();
        assert!(matches!(&fields[0].of, Type::Struct(fields) if fields[0].of == Type::Int64));
        assert!(columns(text, &[], &[]).unwrap_err().contains("other.json"));
    }

    #[test]
    fn what_is_no_schema_of_objects_or_too_large_is_refused() {
        for (text, why) in
            [("{", "no JSON"), ("[]", "no object"), (r#"{"type": "string"}"#, "no objects"), (r#"{"properties": {"a": 1}}"#, "no object")]
        {
            assert!(columns(text, &[], &[]).unwrap_err().contains(why), "{text}");
        }
        let many: Vec<String> = (0..5000).map(|n| format!("\"f{n}\": {{}}")).collect();
        assert!(columns(&format!("{{\"properties\": {{{}}}}}", many.join(",")), &[], &[]).unwrap_err().contains("5000 columns"));
        let doubling: Vec<String> = (0..30)
            .map(|n| format!("\"d{n}\": {{\"anyOf\": [{{\"$ref\": \"#/$defs/d{0}\"}}, {{\"$ref\": \"#/$defs/d{0}\"}}]}}", n + 1))
            .collect();
        let text = format!(
            "{{\"$defs\": {{{}, \"d30\": {{\"type\": \"string\"}}}}, \"properties\": {{\"a\": {{\"$ref\": \"#/$defs/d0\"}}}}}}",
            doubling.join(",")
        );
        assert!(columns(&text, &[], &[]).unwrap_err().contains("too large"));
    }
}
