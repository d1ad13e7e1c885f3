//! Tasks without which a broker of a cluster is none: when one fails, the incarnation ends, and with it the process. One that lives on would answer the others that it is
//! alive, and keep what it leads from those who could serve it.

use crate::Ended;
use crate::shared::Shared;
use floe_env::Task;
use std::sync::Arc;

/// Ends the incarnation if it is dropped by a panic.
struct Watched {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whatever else drops a task knows what it does.
        if std::thread::panicking() {
            self.shared.end(Ended::Failed { why: format!("the task {:?} has failed", self.name) });
        }
    }
}

/// Begins such a task. That of a single broker, whom nobody watches, fails alone.
pub(crate) fn spawn(shared: &Arc<Shared>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Task<()> {
    let watched = shared.options.in_cluster.then(|| Watched { shared: shared.clone(), name });
    shared.env.spawn(name, async move {
        let watched = watched;
        work.await;
        drop(watched);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineOptions;
    use floe_env::Env;
    use floe_objstore::{MemoryBackend, Store, StoreOptions};
    use floe_types::Incarnation;

    async fn after_a_panic(in_cluster: bool) -> Option<Ended> {
        let env = Env::real();
        let store = Store::new(env.clone(), Arc::new(MemoryBackend::new()), StoreOptions::default());
        let options = EngineOptions { in_cluster, ..EngineOptions::default() };
        let shared = Shared::new(env, store, options, Incarnation(1), None);
        let failed = spawn(&shared, "work", async { panic!("a fault of this test") });
        assert!(failed.join().await.is_err());
        assert_eq!(spawn(&shared, "other work", async {}).join().await.ok(), Some(()));
        shared.ended.get()
    }

    #[tokio::test]
    async fn t69_a_broker_of_a_cluster_ends_when_one_of_its_tasks_fails() {
        assert!(matches!(after_a_panic(true).await, Some(Ended::Failed { why }) if why.contains("\"work\"")));
        assert_eq!(after_a_panic(false).await, None);
    }
}
