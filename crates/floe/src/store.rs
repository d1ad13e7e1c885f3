//! From the settings to a store: shared by `serve` and by the tools that look at stores.

use crate::config::Config;
use crate::exit::Failure;
use floe_env::Env;
use floe_objstore::{Backend, OpenOptions, StoreUrl};
use std::sync::Arc;

/// The backend of `url`. `create_directory`: a directory that is not there is made instead of refused.
pub(crate) async fn open(env: &Env, url: &StoreUrl, config: &Config, create_directory: bool) -> Result<Arc<dyn Backend>, Failure> {
    let options = OpenOptions { create_directory, s3: config.s3.clone() };
    Ok(floe_objstore::open(env, url, &options).await?)
}
