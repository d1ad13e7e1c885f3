//! `/api/store`: what the object store is asked, for whom, and what that costs by the prices of the settings.

use super::{Asked, Refused, answered, engine};
use crate::admin::State;
use axum::response::Response;
use floe_log::Engine;
use floe_objstore::{Class, Op};
use floe_types::PartitionId;
use serde_json::{Value, json};

const GIB: f64 = (1_u64 << 30) as f64;

/// What kind of request the store's bill knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Billed {
    /// As a write: listing, too.
    Write,
    Read,
    /// Deletions cost nothing.
    Free,
}

impl Billed {
    fn of(op: Op) -> Self {
        match op {
            Op::Create | Op::List | Op::ListFolders => Self::Write,
            Op::Get | Op::GetRange | Op::GetStart | Op::GetTail => Self::Read,
            Op::Delete => Self::Free,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Free => "free",
        }
    }
}

pub(super) async fn store(asked: Asked) -> Response {
    answered(&asked, async { of_store(&asked) }).await
}

fn of_store(state: &State) -> Result<Value, Refused> {
    let (metrics, prices) = (&state.store_metrics, &state.prices);
    let counts = metrics.counts();
    let billed = |kind| Op::ALL.iter().filter(|op| Billed::of(**op) == kind).map(|op| metrics.requests(*op)).sum::<u64>();
    let (writes, reads) = (billed(Billed::Write), billed(Billed::Read));
    let (put, get) = (prices.put_thousand.0 / 1000.0, prices.get_thousand.0 / 1000.0);
    let operation = |op: &Op| json!({ "op": format!("{op:?}"), "billed": Billed::of(*op).name(), "requests": metrics.requests(*op) });
    let class = |class: &Class| {
        json!({
            "class": format!("{class:?}").to_lowercase(),
            "requests": Op::ALL.iter().map(|op| metrics.requests_of(*class, *op)).sum::<u64>(),
            "writes": Op::ALL.iter().filter(|op| Billed::of(**op) == Billed::Write).map(|op| metrics.requests_of(*class, *op)).sum::<u64>(),
            "seconds_waited": metrics.seconds_waited(*class),
        })
    };
    let stored = stored_bytes(engine(state)?);
    // What is kept for long lies below topic/.
    let month = prices.of_class(prices.class_of("topic/"));
    Ok(json!({
        "store": state.store,
        "uptime_ms": state.uptime_ms(),
        "operations": Op::ALL.iter().map(operation).collect::<Vec<_>>(),
        "classes": Class::ALL.iter().map(class).collect::<Vec<_>>(),
        "failed": counts.failed,
        "unavailable": metrics.unavailable(),
        "hedged": metrics.hedges(),
        "bytes_written": counts.bytes_written,
        "bytes_read": counts.bytes_read,
        "stored_bytes": stored,
        "writes": writes,
        "reads": reads,
        "prices": { "gib_month": month, "write": put, "read": get },
        "cost": { "writes": writes as f64 * put, "reads": reads as f64 * get, "stored_month": stored as f64 / GIB * month },
    }))
}

/// Of the partitions that this broker leads.
fn stored_bytes(engine: &Engine) -> u64 {
    let catalog = engine.catalog().view();
    let ids = catalog.topics().flat_map(|topic| (0..topic.partitions).map(|index| PartitionId { topic: topic.id, index }));
    ids.filter_map(|id| engine.partition(id)).map(|partition| partition.sizes().stored_bytes).sum()
}
