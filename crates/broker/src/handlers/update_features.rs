//! UpdateFeatures: a level for each feature, all of them or none. There is one level so far, so what is accepted
//! changes nothing.

use crate::errors::Refusal;
use crate::features::{Change, check_update};
use floe_protocol::messages::update_features_request::FeatureUpdateKey;
use floe_protocol::messages::update_features_response::UpdatableFeatureResult;
use floe_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use floe_protocol::{ErrorCode, message};
use std::collections::BTreeSet;

/// First version that says how a level may change; before, a flag allowed it to fall.
const UPGRADE_TYPES: i16 = 1;

pub(super) fn handle(version: i16, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let mut seen = BTreeSet::new();
    for update in &request.feature_updates {
        let name = update.feature.as_str();
        let checked = if seen.insert(name) {
            check_update(name, update.max_version_level, change(version, update))
        } else {
            Err(Refusal::new(ErrorCode::InvalidRequest, format!("Feature {name} is named twice.")))
        };
        if let Err(Refusal { code, message }) = checked {
            return message!(UpdateFeaturesResponse { error_code: code.code(), error_message: Some(message.into()) });
        }
    }
    let results = request.feature_updates.into_iter().map(|update| message!(UpdatableFeatureResult { feature: update.feature }));
    message!(UpdateFeaturesResponse { error_message: None, results: results.collect() })
}

fn change(version: i16, update: &FeatureUpdateKey) -> Change {
    match update.upgrade_type {
        _ if version < UPGRADE_TYPES && update.allow_downgrade => Change::Downgrade,
        _ if version < UPGRADE_TYPES => Change::Upgrade,
        1 => Change::Upgrade,
        2 | 3 => Change::Downgrade,
        _ => Change::Unknown,
    }
}
