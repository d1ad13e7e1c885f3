//! The rule by which columns are inferred.

use super::*;

fn seen(values: &[&str]) -> Sketch {
    let mut sketch = Sketch::Nothing;
    values.iter().for_each(|value| sketch.see(&parse(value).expect("JSON")));
    sketch
}

fn columns(values: &[&str]) -> Vec<(String, Type)> {
    let mut fields = Vec::new();
    evolve(&mut fields, &seen(values));
    fields.into_iter().map(|field| (field.column, field.of)).collect()
}

fn types(values: &[&str]) -> Vec<Type> {
    columns(values).into_iter().map(|(_, of)| of).collect()
}

fn evolve(fields: &mut Vec<Field>, seen: &Sketch) -> Evolved {
    super::evolve(fields, seen, &crate::decode::at_top(&[]))
}

#[test]
fn a_field_is_what_its_values_agree_on() {
    for (values, of) in [
        (&[r#"{"a":true}"#, r#"{"a":null}"#, "{}"][..], Type::Boolean),
        (&[r#"{"a":1}"#, r#"{"a":-9223372036854775808}"#], Type::Int64),
        (&[r#"{"a":1}"#, r#"{"a":1.5}"#, r#"{"a":2}"#], Type::Double),
        (&[r#"{"a":1e3}"#], Type::Double),
        (&[r#"{"a":"1"}"#], Type::String),
        (&[r#"{"a":1}"#, r#"{"a":"1"}"#], Type::Json),
        (&[r#"{"a":9223372036854775808}"#], Type::Json),
        (&[r#"{"a":[1,null]}"#, r#"{"a":[]}"#], Type::List(Box::new(Type::Int64))),
        (&[r#"{"a":[1,"x"]}"#], Type::List(Box::new(Type::Json))),
        (&[r#"{"a":[1]}"#, r#"{"a":{}}"#], Type::Json),
    ] {
        assert_eq!(types(values), [of], "{values:?}");
    }
    assert_eq!(types(&[r#"{"a":null,"b":[],"c":{},"d":[[],[null]]}"#]), []);
}

#[test]
fn what_lies_too_deep_is_text() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let mut of = types(&[&deep]).pop().expect("a column");
    let mut levels = 1;
    while let Type::List(inner) = of {
        (of, levels) = (*inner, levels + 1);
    }
    assert_eq!((of, levels), (Type::Json, MAX_DEPTH));
}

#[test]
fn no_two_columns_have_names_that_an_engine_takes_for_one() {
    let found = columns(&[r#"{"offset":1,"Key":2,"id":3,"ID":4,"":5,"value_offset":6,"s":{"a":1,"A":2,"key":3}}"#]);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["value_offset", "value_Key", "id", "value_ID", "_", "value_value_offset", "s"]);
    let Some((_, Type::Struct(within))) = found.last() else { panic!("s is a struct") };
    assert_eq!(within.iter().map(|field| field.column.as_str()).collect::<Vec<_>>(), ["a", "value_A", "key"]);
}

#[test]
fn columns_are_added_and_never_changed() {
    let mut fields = Vec::new();
    evolve(&mut fields, &seen(&[r#"{"a":1,"s":{"x":1},"l":[{"x":1}]}"#]));
    let before = fields.clone();
    assert_eq!(evolve(&mut fields, &seen(&[r#"{"a":"text","s":{"x":[]},"l":[]}"#])), Evolved::default());
    assert_eq!(fields, before);
    let evolved = evolve(&mut fields, &seen(&[r#"{"b":1,"s":{"y":1},"l":[{"y":2}]}"#]));
    assert_eq!((evolved.added, evolved.left_out, leaves(&fields)), (true, false, 6));
    // A conflict may hide fields.
    assert_eq!(evolve(&mut fields, &seen(&[r#"{"s":{"z":1}}"#, r#"{"s":1}"#])), Evolved { added: false, left_out: true });
}

#[test]
fn there_are_no_more_columns_than_a_file_can_bear() {
    let wide = |from: usize, to: usize| format!("{{{}}}", (from..to).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(","));
    let mut fields = Vec::new();
    let evolved = evolve(&mut fields, &seen(&[&wide(0, 5000)]));
    assert_eq!((evolved.added, evolved.left_out, leaves(&fields)), (true, true, MAX_COLUMNS));
    assert_eq!(evolve(&mut fields, &seen(&[&wide(6000, 6001)])), Evolved { added: false, left_out: true });
}
