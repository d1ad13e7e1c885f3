//! The columns of a table: those that files have, each with an id of its own for ever. Files have no ids; the table's name mapping says
//! which column is which.

use crate::IcebergError;
use crate::files::Footer;
use arrow_schema::{DataType, Field, FieldRef, Schema as ArrowSchema, TimeUnit};
use iceberg::arrow::arrow_schema_to_schema_auto_assign_ids;
use iceberg::spec::{ListType, MapType, MappedField, NameMapping, NestedFieldRef, PrimitiveType, Schema, StructType, Type};
use iceberg::transaction::AddColumn;
use parquet::arrow::parquet_to_arrow_schema;
use std::sync::Arc;

/// What a file's columns are to a table. Timestamps in milliseconds are its microseconds, as engines read them.
///
/// # Errors
/// A column that a table cannot have.
pub(crate) fn of_file(footer: &Footer) -> Result<Schema, IcebergError> {
    let broken = |why: String| IcebergError::Parquet { key: footer.file.key.clone(), why };
    let parquet = footer.metadata.file_metadata();
    let arrow = parquet_to_arrow_schema(parquet.schema_descr(), None).map_err(|error| broken(error.to_string()))?;
    let fields: Result<Vec<FieldRef>, IcebergError> = arrow.fields().iter().map(|field| widened(field, "", &footer.file.key)).collect();
    arrow_schema_to_schema_auto_assign_ids(&ArrowSchema::new(fields?)).map_err(|error| broken(error.to_string()))
}

fn widened(field: &FieldRef, above: &str, key: &str) -> Result<FieldRef, IcebergError> {
    let name = format!("{above}{}", field.name());
    let inner = |field: &FieldRef| widened(field, &format!("{name}."), key);
    let of = match field.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) => {
            let why = "Iceberg has no time of day in milliseconds".to_owned();
            return Err(IcebergError::Column { column: name, key: key.to_owned(), why });
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Result<_, _>>()?),
        DataType::List(of) => DataType::List(inner(of)?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries)?, *sorted),
        other => other.clone(),
    };
    Ok(Arc::new(Field::new(field.name(), of, field.is_nullable()).with_metadata(field.metadata().clone())))
}

/// What a table has to get before a file can be appended: columns that it does not have, in structs within others as well.
///
/// # Errors
/// A column that is of another type there.
pub(crate) fn missing(table: &Schema, file: &Schema, key: &str) -> Result<Vec<AddColumn>, IcebergError> {
    let mut found = Vec::new();
    Missing { key, found: &mut found }.structs("", table.as_struct(), file.as_struct())?;
    Ok(found)
}

struct Missing<'a> {
    key: &'a str,
    found: &'a mut Vec<AddColumn>,
}

impl Missing<'_> {
    fn structs(&mut self, above: &str, table: &StructType, file: &StructType) -> Result<(), IcebergError> {
        for field in file.fields() {
            match table.fields().iter().find(|known| known.name == field.name) {
                Some(known) => self.types(&join(above, &field.name), &known.field_type, &field.field_type)?,
                None => self.add(above, field),
            }
        }
        Ok(())
    }

    fn add(&mut self, above: &str, field: &NestedFieldRef) {
        let column = AddColumn::builder().name(field.name.clone()).field_type((*field.field_type).clone());
        // A builder with a parent is another type than one without.
        self.found.push(if above.is_empty() { column.build() } else { column.parent(above.to_owned()).build() });
    }

    fn types(&mut self, name: &str, table: &Type, file: &Type) -> Result<(), IcebergError> {
        match (table, file) {
            (Type::Struct(table), Type::Struct(file)) => self.structs(name, table, file),
            (Type::List(table), Type::List(file)) => {
                self.types(&join(name, "element"), &table.element_field.field_type, &file.element_field.field_type)
            }
            (Type::Map(table), Type::Map(file)) => {
                self.types(&join(name, "key"), &table.key_field.field_type, &file.key_field.field_type)?;
                self.types(&join(name, "value"), &table.value_field.field_type, &file.value_field.field_type)
            }
            (Type::Primitive(table), Type::Primitive(file)) if fits(table, file) => Ok(()),
            _ => {
                let why = format!("it is {file}, and {table} in the table");
                Err(IcebergError::Column { column: name.to_owned(), key: self.key.to_owned(), why })
            }
        }
    }
}

/// Promotions that every reader knows.
fn fits(table: &PrimitiveType, file: &PrimitiveType) -> bool {
    table == file
        || matches!((table, file), (PrimitiveType::Long, PrimitiveType::Int) | (PrimitiveType::Double, PrimitiveType::Float))
        || matches!((table, file), (PrimitiveType::Decimal { precision: wide, scale: a }, PrimitiveType::Decimal { precision, scale: b })
            if wide >= precision && a == b)
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

/// The table's columns by the names that files have for them.
pub(crate) fn name_mapping(schema: &Schema) -> NameMapping {
    NameMapping::new(schema.as_struct().fields().iter().map(mapped).collect())
}

fn mapped(field: &NestedFieldRef) -> MappedField {
    let inner = match &*field.field_type {
        Type::Struct(of) => of.fields().iter().map(mapped).collect(),
        Type::List(ListType { element_field }) => vec![named(element_field, "element")],
        Type::Map(MapType { key_field, value_field }) => vec![named(key_field, "key"), named(value_field, "value")],
        Type::Primitive(_) => Vec::new(),
    };
    MappedField::new(Some(field.id), vec![field.name.clone()], inner)
}

/// As Iceberg calls what lists and maps have, whatever a file calls it.
fn named(field: &NestedFieldRef, name: &str) -> MappedField {
    let of = mapped(field);
    MappedField::new(Some(field.id), vec![name.to_owned()], of.fields().iter().map(|field| (**field).clone()).collect())
}
