//! The catalog in the object store: `catalog/~v`, each version a create-only object that holds the changes since the
//! one before, every [`CHECKPOINT_EVERY`]th the whole state. Loading reads back to the newest checkpoint.
//!
//! Without a cluster it has one owner at a time: who finds that a newer incarnation has written a version changes nothing any more (T16). An owner
//! that takes it over from a living one makes its place known first ([`Catalog::take`]). In a cluster every broker changes it ([`Catalog::shared`]).
//!
//! Cancellation: a cancelled `change` may or may not have happened, exactly like a lost answer; the next change finds
//! out by rebasing.

use crate::{MetadataError, View};
use floe_env::Env;
use floe_formats::{CatalogBody, CatalogChange, CatalogVersion, Writer, keys};
use floe_objstore::{Created, Payload, Store};
use floe_types::{Incarnation, WriteId};
use futures::future::try_join_all;
use parking_lot::RwLock;
use std::convert::Infallible;
use std::sync::Arc;

/// A checkpoint every so many versions bounds what a start has to read: one listing and at most this many objects.
const CHECKPOINT_EVERY: u64 = 64;
/// Others who may come first before a change gives up; each took a version, so somebody made progress.
const MAX_REBASES: u32 = 64;

/// A handle on the catalog: a view that is always complete up to its version, and changes on top of it.
#[derive(Debug)]
pub struct Catalog {
    env: Env,
    store: Store,
    view: RwLock<Arc<View>>,
    changing: tokio::sync::Mutex<()>,
    shared: bool,
}

impl Catalog {
    /// Reads the newest catalog: one listing, and the versions down to the newest checkpoint.
    ///
    /// # Errors
    /// The store's, or a version that is damaged or missing.
    pub async fn open(env: Env, store: Store) -> Result<Self, MetadataError> {
        let view = load(&store).await?;
        Ok(Self { env, store, view: RwLock::new(Arc::new(view)), changing: tokio::sync::Mutex::new(()), shared: false })
    }

    /// The same catalog, changed by every broker of a cluster: a version of another's, whoever that is, is rebased upon (R16).
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The same catalog, as far as it is known here, by another handle on the store: a start reads it in places of its own.
    #[must_use]
    pub fn with_store(&self, store: Store) -> Self {
        let (env, view) = (self.env.clone(), RwLock::new(self.view()));
        Self { env, store, view, changing: tokio::sync::Mutex::new(()), shared: self.shared }
    }

    /// The newest view known here.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Takes in what others have written since.
    ///
    /// # Errors
    /// The store's, or a version that is damaged or missing.
    pub async fn refresh(&self) -> Result<(), MetadataError> {
        let _one_at_a_time = self.changing.lock().await;
        let before = self.view();
        let newest = newest(&self.store).await?;
        if newest > before.version {
            self.install(extend(&self.store, before.as_ref().clone(), newest).await?.view);
        }
        Ok(())
    }

    /// Takes in everything that was ever changed, and leaves a mark: what an older incarnation wants to change from now on is
    /// refused there.
    ///
    /// # Errors
    /// As [`Catalog::change`].
    pub async fn take(&self, incarnation: Incarnation) -> Result<(), MetadataError> {
        let mark = self.write(incarnation, |_| Ok::<_, Infallible>((Some(Vec::new()), ()))).await?;
        match mark {
            Ok(()) => Ok(()),
            Err(never) => match never {},
        }
    }

    /// Makes one change: `plan` looks at the newest view and says what to write, or refuses. It is asked again on the
    /// newer view when another writer came first. The change is in the store before this returns (R16). No changes are
    /// no version.
    ///
    /// # Errors
    /// `Ok(Err(_))` is `plan`'s own refusal. `Fenced`: a newer incarnation has the catalog, and this one does not.
    pub async fn change<T, R>(
        &self,
        incarnation: Incarnation,
        plan: impl Fn(&View) -> Result<(Vec<CatalogChange>, T), R>,
    ) -> Result<Result<T, R>, MetadataError> {
        self.write(incarnation, |view| plan(view).map(|(changes, answer)| ((!changes.is_empty()).then_some(changes), answer))).await
    }

    async fn write<T, R>(
        &self,
        incarnation: Incarnation,
        plan: impl Fn(&View) -> Result<(Option<Vec<CatalogChange>>, T), R>,
    ) -> Result<Result<T, R>, MetadataError> {
        let _one_at_a_time = self.changing.lock().await;
        for _ in 0..MAX_REBASES {
            let before = self.view();
            let (changes, answer) = match plan(&before) {
                Ok((Some(changes), answer)) => (changes, answer),
                // What others have changed may say otherwise.
                _ if self.shared && self.is_behind(&before).await? => continue,
                Ok((None, answer)) => return Ok(Ok(answer)),
                Err(refusal) => return Ok(Err(refusal)),
            };
            let after = before.after(&changes);
            if self.create(incarnation, &after, changes).await? {
                self.install(after);
                return Ok(Ok(answer));
            }
            let caught_up = catch_up(&self.store, &before).await?;
            self.install(caught_up.view);
            if !self.shared && caught_up.newest_writer > incarnation {
                return Err(MetadataError::Fenced { by: caught_up.newest_writer });
            }
        }
        Err(MetadataError::Contended(MAX_REBASES))
    }

    /// Takes in what others have written behind `before`; whether there was anything.
    async fn is_behind(&self, before: &View) -> Result<bool, MetadataError> {
        let newest = newest(&self.store).await?;
        if newest > before.version {
            self.install(extend(&self.store, before.clone(), newest).await?.view);
        }
        Ok(newest > before.version)
    }

    async fn create(&self, incarnation: Incarnation, after: &View, changes: Vec<CatalogChange>) -> Result<bool, MetadataError> {
        let body = if after.version.is_multiple_of(CHECKPOINT_EVERY) {
            CatalogBody::Checkpoint(after.to_state())
        } else {
            CatalogBody::Delta(changes)
        };
        let writer = Writer { write_id: WriteId(self.env.random_u128()), incarnation, revision: 0 };
        let bytes = floe_formats::encode(&writer, &CatalogVersion { version: after.version, body });
        Ok(self.store.create(&keys::catalog(after.version), &Payload::from(bytes)).await? == Created::Won)
    }

    fn install(&self, view: View) {
        *self.view.write() = Arc::new(view);
    }
}

/// A view, and the greatest incarnation among those that wrote the versions that were read for it.
struct Extended {
    view: View,
    newest_writer: Incarnation,
}

async fn read(store: &Store, version: u64) -> Result<(Incarnation, CatalogVersion), MetadataError> {
    let key = keys::catalog(version);
    let bytes = store.get(&key).await?;
    let (header, body) = floe_formats::decode::<CatalogVersion>(&bytes).map_err(|source| MetadataError::Format { key, source })?;
    Ok((header.writer.incarnation, body))
}

/// The number of the newest version; 0 if there is none.
async fn newest(store: &Store) -> Result<u64, MetadataError> {
    let listed = store.list(&keys::catalog_prefix(), None, 1).await?;
    Ok(listed.first().and_then(|object| keys::parse_catalog(&object.key).ok()).unwrap_or(0))
}

/// The newest view in the store, for those who only read it.
///
/// # Errors
/// The store's, or a version that is damaged or missing.
pub async fn load(store: &Store) -> Result<View, MetadataError> {
    let newest = newest(store).await?;
    let checkpoint = newest - newest % CHECKPOINT_EVERY;
    let start = match checkpoint {
        0 => View::default(),
        _ => match read(store, checkpoint).await?.1.body {
            CatalogBody::Checkpoint(state) => View::from_state(checkpoint, state),
            CatalogBody::Delta(_) => return Err(MetadataError::Gap { missing: checkpoint, newest }),
        },
    };
    Ok(extend(store, start, newest).await?.view)
}

/// The view with every version up to `newest` on top.
async fn extend(store: &Store, view: View, newest: u64) -> Result<Extended, MetadataError> {
    let versions = try_join_all((view.version + 1..=newest).map(|version| read(store, version))).await?;
    let start = Extended { view, newest_writer: Incarnation(0) };
    Ok(versions.into_iter().fold(start, |before, (writer, version)| Extended {
        view: match version.body {
            CatalogBody::Delta(changes) => before.view.apply(version.version, &changes),
            CatalogBody::Checkpoint(state) => View::from_state(version.version, state),
        },
        newest_writer: before.newest_writer.max(writer),
    }))
}

/// Reads what others have written since `before`.
async fn catch_up(store: &Store, before: &View) -> Result<Extended, MetadataError> {
    let newest = newest(store).await?;
    if newest <= before.version {
        return Err(MetadataError::Gap { missing: before.version + 1, newest });
    }
    extend(store, before.clone(), newest).await
}
