//! Create-only object I/O: the only way Floe touches an object store.
//!
//! Two layers. A [`Backend`] makes exactly one attempt per call and says what it knows about the outcome: directory,
//! S3 and memory live here, the simulated store lives in the test kit, and all of them pass one conformance suite.
//! A [`Store`] bounds, retries and measures a backend, and resolves every ambiguous answer by looking at what is there.
//!
//! What this crate keeps: nothing is ever overwritten (there is no plain PUT); an error is never taken for "not there"
//! (T24); a lost answer is resolved by the write id in the object's first 64 bytes (T07, R10); listings are bytewise
//! ordered whatever the server does. What it is not: it knows no key layout and no format beyond those 64 bytes.

mod backend;
mod check;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod credentials;
mod file;
mod memory;
mod metrics;
mod open;
mod pace;
mod payload;
mod places;
mod probe;
mod s3;
mod store;
#[cfg(test)]
mod suites;
mod url;

pub use backend::{Backend, BackendError, IDENTITY_LEN, ObjectInfo, check_key};
pub use check::{CheckReport, CheckRow, check};
pub use file::FileBackend;
pub use memory::MemoryBackend;
pub use metrics::{Op, StoreCounts, StoreMetrics};
pub use open::{OpenError, OpenOptions, open};
pub use pace::Pace;
pub use payload::Payload;
pub use places::Class;
pub use probe::{ProbeError, probe, prove_create_only};
pub use s3::{Encryption, S3Backend, S3Options, StorageClass};
pub use store::{Created, Store, StoreError, StoreOptions};
pub use url::{InvalidUrl, StoreUrl};
