//! ApiVersions: the handshake. Its rules are the protocol crate's; a version that is not served never gets here. The epoch
//! of the features in force is the catalog's version: it never falls, whichever broker answers.

use crate::broker::Broker;
use crate::features::FEATURES;
use floe_protocol::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use floe_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use floe_protocol::{api_versions, message};

/// First version that has features.
const HAS_FEATURES: i16 = 3;

pub(super) fn handle(broker: &Broker, version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    if !api_versions::is_valid(request, version) {
        return api_versions::invalid_request();
    }
    let mut response = api_versions::response();
    if version >= HAS_FEATURES {
        let supported =
            |f: &crate::features::Feature| message!(SupportedFeatureKey { name: f.name.into(), min_version: f.min, max_version: f.max });
        let in_force = |f: &crate::features::Feature| {
            message!(FinalizedFeatureKey { name: f.name.into(), max_version_level: f.level, min_version_level: f.level })
        };
        response.supported_features = FEATURES.iter().map(supported).collect();
        response.finalized_features = FEATURES.iter().map(in_force).collect();
        response.finalized_features_epoch = i64::try_from(broker.view().version).unwrap_or(i64::MAX);
    }
    response
}
