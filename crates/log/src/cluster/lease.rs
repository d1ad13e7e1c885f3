//! Being listed as alive. No safety rests on it: a broker whose lease has ended is suspected, not recovered.

use super::Member;
use floe_metadata::cluster::Renewed;
use std::sync::Arc;
use std::time::Duration;

/// Renews the lease for as long as the incarnation lives.
pub(super) async fn keep(member: Arc<Member>, ttl: Duration) {
    while !member.has_ended() {
        member.env().sleep(ttl / 3).await;
        if member.is_draining() {
            continue;
        }
        match member.cluster.renew(&member.registration).await {
            Ok(Renewed::Kept) => {}
            Ok(Renewed::Again) => tracing::info!("listed as alive again: the lease had ended"),
            Err(error) => tracing::warn!(%error, "the lease is not renewed; serving goes on"),
        }
    }
}
