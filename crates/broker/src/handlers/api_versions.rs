//! ApiVersions: the handshake. Its rules are the protocol crate's; a version that is not served never gets here.

use floe_protocol::api_versions;
use floe_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

pub(super) fn handle(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    if api_versions::is_valid(request, version) { api_versions::response() } else { api_versions::invalid_request() }
}
