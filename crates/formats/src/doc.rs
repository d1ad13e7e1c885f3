//! The meaning of every persisted field, written once: [`persisted!`] makes the doc comments of a struct both its rustdoc and
//! a table that `floe inspect` and `docs/formats.md` print, so that none of the three can fall behind.

use floe_types::{BrokerId, ClusterId, DiskId, Generation, Incarnation, Lsn, PartitionId, SlotNumber, TopicId, WriteId};
use std::collections::BTreeMap;

/// A persisted type's shape and meaning.
#[derive(Debug)]
pub enum TypeDoc {
    /// A number, a string, an id: how it is stored.
    Leaf {
        name: &'static str,
        stored: &'static str,
    },
    Struct {
        name: &'static str,
        meaning: &'static [&'static str],
        fields: &'static [FieldDoc],
    },
    Enum {
        name: &'static str,
        meaning: &'static [&'static str],
        variants: &'static [VariantDoc],
    },
    List(&'static TypeDoc),
    Optional(&'static TypeDoc),
    Map(&'static TypeDoc, &'static TypeDoc),
}

/// A field's name as serialised, and what it means.
#[derive(Debug)]
pub struct FieldDoc {
    pub name: &'static str,
    pub meaning: &'static [&'static str],
    pub of: &'static TypeDoc,
}

/// A variant's name as serialised, what it means, and what it holds.
#[derive(Debug)]
pub struct VariantDoc {
    pub name: &'static str,
    pub meaning: &'static [&'static str],
    pub fields: &'static [FieldDoc],
    pub of: Option<&'static TypeDoc>,
}

/// Types whose shape and meaning are known: all that a persisted struct may hold.
pub trait Described {
    const DOC: &'static TypeDoc;
}

/// The lines of a doc comment as one text.
#[must_use]
pub fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

impl TypeDoc {
    /// The type's name as the tables show it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Leaf { name, .. } | Self::Struct { name, .. } | Self::Enum { name, .. } => (*name).to_owned(),
            Self::List(of) => format!("list of {}", of.name()),
            Self::Optional(of) => format!("optional {}", of.name()),
            Self::Map(key, value) => format!("map from {} to {}", key.name(), value.name()),
        }
    }
}

macro_rules! leaf {
    ($($type:ty => $name:literal, $stored:literal;)+) => {
        $(impl Described for $type {
            const DOC: &'static TypeDoc = &TypeDoc::Leaf { name: $name, stored: $stored };
        })+
    };
}

leaf! {
    bool => "bool", "1 byte, 0 or 1";
    u8 => "u8", "1 byte";
    u16 => "u16", "varint";
    u32 => "u32", "varint";
    u64 => "u64", "varint";
    i16 => "i16", "zigzag varint";
    i32 => "i32", "zigzag varint";
    i64 => "i64", "zigzag varint";
    String => "string", "varint length, UTF-8 bytes";
    BrokerId => "BrokerId", "zigzag varint (i32)";
    Incarnation => "Incarnation", "varint (u64)";
    Generation => "Generation", "varint (u32)";
    SlotNumber => "SlotNumber", "varint (u64)";
    Lsn => "Lsn", "varint (u64)";
    TopicId => "TopicId", "16 bytes, big-endian";
    ClusterId => "ClusterId", "16 bytes, big-endian";
    DiskId => "DiskId", "16 bytes, big-endian";
    WriteId => "WriteId", "16 bytes, big-endian";
}

impl Described for PartitionId {
    const DOC: &'static TypeDoc = &TypeDoc::Struct {
        name: "PartitionId",
        meaning: &["A partition of a topic, by id."],
        fields: &[
            FieldDoc { name: "topic", meaning: &["The topic's id."], of: TopicId::DOC },
            FieldDoc { name: "index", meaning: &["The partition's number within its topic, from 0."], of: i32::DOC },
        ],
    };
}

impl<T: Described> Described for Vec<T> {
    const DOC: &'static TypeDoc = &TypeDoc::List(T::DOC);
}

impl<T: Described> Described for Option<T> {
    const DOC: &'static TypeDoc = &TypeDoc::Optional(T::DOC);
}

impl<K: Described, V: Described> Described for BTreeMap<K, V> {
    const DOC: &'static TypeDoc = &TypeDoc::Map(K::DOC, V::DOC);
}

/// Declares a persisted struct or enum: derives what all of them need and describes each field from its doc comment.
macro_rules! persisted {
    (
        $(#[doc = $doc:literal])+
        $(#[derive($($derive:ident),+)])?
        pub struct $name:ident {
            $( $(#[doc = $field_doc:literal])+ pub $field:ident : $type:ty ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize $($(, $derive)+)?)]
        pub struct $name {
            $( $(#[doc = $field_doc])+ pub $field: $type, )+
        }
        impl $crate::doc::Described for $name {
            const DOC: &'static $crate::doc::TypeDoc = &$crate::doc::TypeDoc::Struct {
                name: stringify!($name),
                meaning: &[$($doc),+],
                fields: &[$( $crate::doc::FieldDoc {
                    name: stringify!($field),
                    meaning: &[$($field_doc),+],
                    of: <$type as $crate::doc::Described>::DOC,
                } ),+],
            };
        }
    };
    (
        $(#[doc = $doc:literal])+
        $(#[derive($($derive:ident),+)])?
        pub enum $name:ident {
            $( $(#[doc = $variant_doc:literal])+ $variant:ident
                $( { $( $(#[doc = $field_doc:literal])+ $field:ident : $type:ty ),+ $(,)? } )?
                $( ( $inner:ty ) )?
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize $($(, $derive)+)?)]
        pub enum $name {
            $( $(#[doc = $variant_doc])+ $variant $( { $( $(#[doc = $field_doc])+ $field: $type ),+ } )? $( ($inner) )?, )+
        }
        impl $crate::doc::Described for $name {
            const DOC: &'static $crate::doc::TypeDoc = &$crate::doc::TypeDoc::Enum {
                name: stringify!($name),
                meaning: &[$($doc),+],
                variants: &[$( $crate::doc::VariantDoc {
                    name: stringify!($variant),
                    meaning: &[$($variant_doc),+],
                    fields: &[$($( $crate::doc::FieldDoc {
                        name: stringify!($field),
                        meaning: &[$($field_doc),+],
                        of: <$type as $crate::doc::Described>::DOC,
                    } ),+)?],
                    of: $crate::doc::persisted!(@inner $($inner)?),
                } ),+],
            };
        }
    };
    (@inner) => { None };
    (@inner $inner:ty) => { Some(<$inner as $crate::doc::Described>::DOC) };
}
pub(crate) use persisted;
