//! Floe: objstore.
