//! A stop: the object that recovery puts into a free slot. The first one ends the row (R6). Never deleted (R18).

use crate::{doc::persisted, header::Kind, object::Object};
use floe_types::Incarnation;

persisted! {
    /// Ends a row of slots: what lies before the first stop is final, what lies behind it is void.
    #[derive(Copy)]
    pub struct Stop {
        /// The incarnation that recovers, or the owner itself when it drains.
        pub by: Incarnation,
    }
}

impl Object for Stop {
    const KIND: Kind = Kind::Stop;
    const VERSION: u16 = 1;
}
