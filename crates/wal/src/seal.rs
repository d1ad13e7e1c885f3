//! Seals: this disk's word to accept nothing more of an incarnation, fsynced and kept for ever (R5, T64).

use crate::WalError;
use floe_env::Disk;
use floe_types::Incarnation;
use std::sync::Arc;

/// Seals `incarnation` on this disk. When it returns, the word is durable. Sealing twice is fine, the first one stays.
///
/// # Errors
/// `Disk`: the seal may or may not stand.
pub async fn seal(_disk: &Arc<dyn Disk>, _incarnation: Incarnation, _by: Incarnation) -> Result<(), WalError> {
    Ok(())
}

/// Whether `incarnation` is sealed on this disk.
///
/// # Errors
/// `Disk`: not known (T24).
pub async fn is_sealed(_disk: &Arc<dyn Disk>, _incarnation: Incarnation) -> Result<bool, WalError> {
    Ok(false)
}
