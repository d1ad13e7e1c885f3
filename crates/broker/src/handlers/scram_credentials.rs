//! DescribeUserScramCredentials and AlterUserScramCredentials: no user has credentials, and without authentication none
//! gets any.

use floe_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use floe_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use floe_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, StrBytes,
};
use floe_protocol::{ErrorCode, message};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn describe(request: DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse {
    let mut times: BTreeMap<StrBytes, usize> = BTreeMap::new();
    for user in request.users.into_iter().flatten() {
        *times.entry(user.name).or_default() += 1;
    }
    let results = times.into_iter().map(|(user, times)| {
        let (code, why) = if times > 1 {
            (ErrorCode::DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: ")
        } else {
            (ErrorCode::ResourceNotFound, "Attempt to describe a user credential that does not exist: ")
        };
        let error_message = Some(format!("{why}{}", user.as_str()).into());
        message!(DescribeUserScramCredentialsResult { user, error_code: code.code(), error_message })
    });
    message!(DescribeUserScramCredentialsResponse { error_message: None, results: results.collect() })
}

/// One answer for each user named.
pub(super) fn alter(request: AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
    let refuse = |user: StrBytes, code: ErrorCode, why: &str| {
        message!(AlterUserScramCredentialsResult { user, error_code: code.code(), error_message: Some(why.into()) })
    };
    let upserted: BTreeSet<StrBytes> = request.upsertions.into_iter().map(|upsertion| upsertion.name).collect();
    let deleted: BTreeSet<StrBytes> = request.deletions.into_iter().map(|deletion| deletion.name).collect();
    let none = deleted
        .difference(&upserted)
        .map(|user| refuse(user.clone(), ErrorCode::ResourceNotFound, "Attempt to delete a user credential that does not exist"));
    let off = upserted.iter().map(|user| {
        let why = "Floe does not authenticate users yet: a credential would have no effect";
        refuse(user.clone(), ErrorCode::SecurityDisabled, why)
    });
    message!(AlterUserScramCredentialsResponse { results: none.chain(off).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    use floe_protocol::messages::describe_user_scram_credentials_request::UserName;

    #[test]
    fn nobody_has_credentials_and_who_is_asked_for_twice_is_told_so() {
        let user = |name: &str| message!(UserName { name: name.into() });
        let ask = |users| describe(message!(DescribeUserScramCredentialsRequest { users }));
        assert_eq!(ask(None).results, []);
        let answer = ask(Some(vec![user("a"), user("b"), user("a")]));
        assert_eq!(answer.results.iter().map(|r| (r.user.as_str(), r.error_code)).collect::<Vec<_>>(), [("a", 92), ("b", 91)]);
    }

    #[test]
    fn nobody_gets_credentials_and_there_are_none_to_delete() {
        let deletion = |name: &str| message!(ScramCredentialDeletion { name: name.into() });
        let upsertion = |name: &str| message!(ScramCredentialUpsertion { name: name.into() });
        let answer = alter(message!(AlterUserScramCredentialsRequest {
            deletions: vec![deletion("a"), deletion("b")],
            upsertions: vec![upsertion("b"), upsertion("c")]
        }));
        let codes: Vec<_> = answer.results.iter().map(|r| (r.user.as_str(), r.error_code)).collect();
        assert_eq!(codes, [("a", 91), ("b", 54), ("c", 54)]);
    }
}
