//! What a test does at an exact moment of a run: right after some request has had its effect, before its answer leaves.

use crate::store_faults::StoreOp;
use parking_lot::Mutex;
use std::fmt;

type Action = Box<dyn FnOnce() + Send>;

struct Hook {
    op: Option<StoreOp>,
    prefix: String,
    /// Requests that fit and are let pass before.
    skip: u64,
    action: Action,
}

/// Hooks in the order in which they were added; each is used up when it acts.
#[derive(Default)]
pub(super) struct Hooks(Mutex<Vec<Hook>>);

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooks").field(&self.0.lock().len()).finish()
    }
}

impl Hooks {
    pub(super) fn add(&self, op: Option<StoreOp>, prefix: &str, skip: u64, action: Action) {
        self.0.lock().push(Hook { op, prefix: prefix.to_owned(), skip, action });
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// A request has had its effect.
    pub(super) fn request_done(&self, op: StoreOp, key: &str) {
        let mut due = Vec::new();
        {
            let mut hooks = self.0.lock();
            let mut at = 0;
            while let Some(hook) = hooks.get_mut(at) {
                let fits = hook.op.is_none_or(|wanted| wanted == op) && key.starts_with(&hook.prefix);
                match hook.skip.checked_sub(u64::from(fits)) {
                    None => due.push(hooks.remove(at).action),
                    Some(left) => {
                        hook.skip = left;
                        at += 1;
                    }
                }
            }
        }
        // Unlocked: what they do may add hooks.
        due.into_iter().for_each(|action| action());
    }
}
