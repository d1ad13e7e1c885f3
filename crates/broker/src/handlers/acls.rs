//! DescribeAcls, CreateAcls, DeleteAcls: there is no authoriser, which is said as Kafka says it without one.

use floe_protocol::messages::create_acls_response::AclCreationResult;
use floe_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use floe_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsResponse, StrBytes,
};
use floe_protocol::{ErrorCode, message};

const CODE: i16 = ErrorCode::SecurityDisabled.code();

fn why() -> Option<StrBytes> {
    Some("No Authorizer is configured.".into())
}

pub(super) fn describe() -> DescribeAclsResponse {
    message!(DescribeAclsResponse { error_code: CODE, error_message: why() })
}

pub(super) fn create(request: &CreateAclsRequest) -> CreateAclsResponse {
    let refused = || message!(AclCreationResult { error_code: CODE, error_message: why() });
    message!(CreateAclsResponse { results: request.creations.iter().map(|_| refused()).collect() })
}

pub(super) fn delete(request: &DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = || message!(DeleteAclsFilterResult { error_code: CODE, error_message: why() });
    message!(DeleteAclsResponse { filter_results: request.filters.iter().map(|_| refused()).collect() })
}
