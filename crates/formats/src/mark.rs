//! `mark/~n`: the row by which an etcd that was set back is known. Created only if absent, one after the other; never deleted.

use crate::{doc::persisted, header::Kind, object::Object};
use floe_types::WriteId;

persisted! {
    /// The nonce of the mark that etcd held under this number. etcd holding the number with another nonce was restored from a snapshot.
    #[derive(Copy)]
    pub struct Mark {
        /// Counted from 1.
        pub number: u64,
        /// Drawn for this mark alone, by whoever put it into etcd.
        pub nonce: WriteId,
    }
}

impl Object for Mark {
    const KIND: Kind = Kind::Mark;
    const VERSION: u16 = 1;
}
