//! A compiled `FileDescriptorSet` (google/protobuf/descriptor.proto), as `protoc --include_imports --descriptor_set_out` and `buf build` write it.

use super::read::{Part, Parts, Wire};
use super::{EnumDef, FieldDef, File, Label, MAX_LEVELS, MAX_PARTS, MessageDef, Named, Scalar};

/// # Errors
/// What is wrong.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    let mut count = 0;
    for part in Parts(bytes) {
        if let Part { number: 1, wire: Wire::Bytes(bytes) } = part? {
            files.push(file(bytes, &mut count)?);
        }
    }
    if files.is_empty() { Err("it is no .proto and no descriptor set".to_owned()) } else { Ok(files) }
}

/// One `FileDescriptorProto`.
///
/// # Errors
/// What is wrong.
pub(super) fn parse_file(bytes: &[u8]) -> Result<File, String> {
    file(bytes, &mut 0)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a name of the descriptor set is no UTF-8".to_owned())
}

fn file(bytes: &[u8], count: &mut usize) -> Result<File, String> {
    let mut file = File::default();
    // How fields without a label are read is known when all was seen.
    let mut messages = Vec::new();
    for part in Parts(bytes) {
        match part? {
            Part { number: 2, wire: Wire::Bytes(bytes) } => file.package = text(bytes)?,
            Part { number: 4, wire: Wire::Bytes(bytes) } => messages.push(bytes),
            Part { number: 5, wire: Wire::Bytes(bytes) } => file.enums.push(enumeration(bytes, count)?),
            Part { number: 12, wire: Wire::Bytes(bytes) } => file.implicit = bytes == b"proto3",
            _ => {}
        }
    }
    for bytes in messages {
        file.messages.push(message(bytes, file.implicit, 0, count)?);
    }
    Ok(file)
}

fn message(bytes: &[u8], implicit: bool, level: usize, count: &mut usize) -> Result<MessageDef, String> {
    if level > MAX_LEVELS {
        return Err(format!("it has more than {MAX_LEVELS} levels"));
    }
    let mut message = MessageDef::default();
    for part in Parts(bytes) {
        match part? {
            Part { number: 1, wire: Wire::Bytes(bytes) } => message.name = text(bytes)?,
            Part { number: 2, wire: Wire::Bytes(bytes) } => message.fields.push(field(bytes, implicit, count)?),
            Part { number: 3, wire: Wire::Bytes(bytes) } => message.messages.push(self::message(bytes, implicit, level + 1, count)?),
            Part { number: 4, wire: Wire::Bytes(bytes) } => message.enums.push(enumeration(bytes, count)?),
            Part { number: 7, wire: Wire::Bytes(options) } => {
                for option in Parts(options) {
                    message.is_entry |= matches!(option?, Part { number: 7, wire: Wire::Varint(1) });
                }
            }
            _ => {}
        }
    }
    Ok(message)
}

fn field(bytes: &[u8], implicit: bool, count: &mut usize) -> Result<FieldDef, String> {
    one_more(count)?;
    let (mut name, mut number, mut label, mut kind, mut type_name) = (String::new(), 0, 0, 0, None);
    let (mut in_oneof, mut is_optional) = (false, false);
    for part in Parts(bytes) {
        match part? {
            Part { number: 1, wire: Wire::Bytes(bytes) } => name = text(bytes)?,
            Part { number: 3, wire: Wire::Varint(of) } => number = of,
            Part { number: 4, wire: Wire::Varint(of) } => label = of,
            Part { number: 5, wire: Wire::Varint(of) } => kind = of,
            Part { number: 6, wire: Wire::Bytes(bytes) } => type_name = Some(text(bytes)?),
            Part { number: 9, .. } => in_oneof = true,
            Part { number: 17, wire: Wire::Varint(is) } => is_optional = is != 0,
            _ => {}
        }
    }
    let of = match (Scalar::numbered(kind), type_name) {
        (Some(scalar), _) => Named::Scalar(scalar),
        (None, Some(name)) if matches!(kind, 11 | 14) => Named::Name(name),
        _ => return Err(format!("field {name} is of a type that is not read ({kind})")),
    };
    let label = match label {
        3 => Label::Repeated,
        1 if implicit && !in_oneof && !is_optional => Label::Implicit,
        _ => Label::Explicit,
    };
    Ok(FieldDef { number: u32::try_from(number).map_err(|error| error.to_string())?, name, label, of })
}

fn enumeration(bytes: &[u8], count: &mut usize) -> Result<EnumDef, String> {
    let mut found = EnumDef::default();
    for part in Parts(bytes) {
        match part? {
            Part { number: 1, wire: Wire::Bytes(bytes) } => found.name = text(bytes)?,
            Part { number: 2, wire: Wire::Bytes(bytes) } => {
                one_more(count)?;
                let (mut name, mut number) = (String::new(), 0);
                for part in Parts(bytes) {
                    match part? {
                        Part { number: 1, wire: Wire::Bytes(bytes) } => name = text(bytes)?,
                        Part { number: 2, wire: Wire::Varint(of) } => number = of.cast_signed(),
                        _ => {}
                    }
                }
                found.values.push((name, number));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn one_more(count: &mut usize) -> Result<(), String> {
    *count += 1;
    if *count > MAX_PARTS { Err(format!("it has more than {MAX_PARTS} parts")) } else { Ok(()) }
}
