//! CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken: not on a listener without
//! authentication, in Kafka as here.

use floe_protocol::messages::{
    CreateDelegationTokenResponse, DescribeDelegationTokenResponse, ExpireDelegationTokenResponse, RenewDelegationTokenResponse,
};
use floe_protocol::{ErrorCode, message};

const CODE: i16 = ErrorCode::DelegationTokenRequestNotAllowed.code();

/// Who everybody is without authentication.
const USER: &str = "User";
const ANONYMOUS: &str = "ANONYMOUS";

pub(super) fn create() -> CreateDelegationTokenResponse {
    message!(CreateDelegationTokenResponse {
        error_code: CODE,
        principal_type: USER.into(),
        principal_name: ANONYMOUS.into(),
        token_requester_principal_type: USER.into(),
        token_requester_principal_name: ANONYMOUS.into(),
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
    })
}

pub(super) fn renew() -> RenewDelegationTokenResponse {
    message!(RenewDelegationTokenResponse { error_code: CODE, expiry_timestamp_ms: -1 })
}

pub(super) fn expire() -> ExpireDelegationTokenResponse {
    message!(ExpireDelegationTokenResponse { error_code: CODE, expiry_timestamp_ms: -1 })
}

pub(super) fn describe() -> DescribeDelegationTokenResponse {
    message!(DescribeDelegationTokenResponse { error_code: CODE })
}
