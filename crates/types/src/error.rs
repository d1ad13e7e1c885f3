//! What an error asks of whoever meets it.

/// Every error enum of the workspace answers `kind()`, so that callers decide by what to do, not by what broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Transient: the same call may succeed later.
    Retry,
    /// A later owner exists: acknowledge nothing more and end (R10).
    Fenced,
    /// The named thing does not exist - known from an answer, never from a failed read (T24).
    NotFound,
    /// The caller's input is wrong; repeating it will not help.
    Invalid,
    /// Stored bytes do not match their checksum, or contradict each other.
    Corrupt,
    /// A budget is used up: slow down and try again.
    Overloaded,
    /// This component is shutting down or has ended.
    Closed,
    /// An invariant of the program is broken.
    Bug,
}
