//! DescribeClientQuotas and AlterClientQuotas: there are no quotas. A filter is checked as Kafka checks it and finds
//! nothing; setting one is refused, since nobody would be held to it.

use crate::errors::Refusal;
use floe_protocol::messages::alter_client_quotas_request::EntryData as Asked;
use floe_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use floe_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};
use floe_protocol::{ErrorCode, message};
use std::collections::BTreeSet;

/// How a component of a filter matches.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// Kinds of entities.
const IP: &str = "ip";
const KINDS: [&str; 3] = ["user", "client-id", IP];

pub(super) fn describe(request: &DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    match check_filter(request) {
        Ok(()) => message!(DescribeClientQuotasResponse { error_message: None, entries: Some(Vec::new()) }),
        Err(Refusal { code, message }) => {
            message!(DescribeClientQuotasResponse { error_code: code.code(), error_message: Some(message.into()), entries: None })
        }
    }
}

fn check_filter(request: &DescribeClientQuotasRequest) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let mut kinds = BTreeSet::new();
    for component in &request.components {
        let kind = component.entity_type.as_str();
        match (component.match_type, component.match_.is_some()) {
            _ if kind.is_empty() => return refuse("Invalid empty entity type.".to_owned()),
            _ if !kinds.insert(kind) => return refuse(format!("Entity type {kind} cannot appear more than once in the filter.")),
            (EXACT, true) | (DEFAULT | SPECIFIED, false) => {}
            (EXACT, false) => return refuse("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned()),
            (DEFAULT | SPECIFIED, true) => return refuse("The request matches by kind, but names an entity as well.".to_owned()),
            (other, _) => return refuse(format!("Unknown match type {other}")),
        }
    }
    if kinds.contains(IP) && kinds.len() > 1 {
        return refuse("Invalid entity filter component combination: ip does not go with others.".to_owned());
    }
    Ok(())
}

pub(super) fn alter(request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let entries = request.entries.into_iter().map(|asked| {
        let (code, why) = check(&asked).map_or_else(|refusal| (refusal.code.code(), Some(refusal.message.into())), |()| (0, None));
        let entity = asked.entity.into_iter().map(|e| message!(EntityData { entity_type: e.entity_type, entity_name: e.entity_name }));
        message!(EntryData { error_code: code, error_message: why, entity: entity.collect() })
    });
    message!(AlterClientQuotasResponse { entries: entries.collect() })
}

fn check(asked: &Asked) -> Result<(), Refusal> {
    let refuse = |code, why: &str| Err(Refusal::new(code, why));
    let mut kinds = BTreeSet::new();
    let kinds_are_good = asked.entity.iter().all(|e| KINDS.contains(&e.entity_type.as_str()) && kinds.insert(&e.entity_type));
    if kinds.is_empty() || !kinds_are_good {
        return refuse(ErrorCode::InvalidRequest, "A quota belongs to a user, a client-id, both, or an ip, each named once.");
    }
    if asked.ops.iter().any(|op| !op.remove) {
        return refuse(ErrorCode::PolicyViolation, "Floe does not enforce client quotas yet: one would have no effect.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_protocol::messages::alter_client_quotas_request::{EntityData, OpData};
    use floe_protocol::messages::describe_client_quotas_request::ComponentData;

    #[test]
    fn a_good_filter_finds_nothing_and_a_bad_one_is_refused() {
        let part = |kind: &str, match_type: i8, name: Option<&str>| {
            message!(ComponentData { entity_type: kind.into(), match_type, match_: name.map(Into::into) })
        };
        let ask = |components| describe(&message!(DescribeClientQuotasRequest { components }));
        for good in [vec![], vec![part("user", 0, Some("x")), part("client-id", 2, None)], vec![part("ip", 1, None)]] {
            let answer = ask(good);
            assert_eq!((answer.error_code, answer.entries), (0, Some(vec![])));
        }
        for bad in [
            vec![part("", 1, None)],
            vec![part("user", 0, None)],
            vec![part("user", 1, Some("x"))],
            vec![part("user", 7, None)],
            vec![part("user", 1, None), part("user", 1, None)],
            vec![part("ip", 1, None), part("user", 1, None)],
        ] {
            let answer = ask(bad);
            assert_eq!((answer.error_code, answer.entries), (42, None));
        }
    }

    #[test]
    fn a_quota_is_refused_and_one_that_is_not_there_can_be_removed() {
        let alter_one = |kinds: &[&str], remove: bool| {
            let entity = kinds.iter().map(|kind| message!(EntityData { entity_type: (*kind).into(), entity_name: None })).collect();
            let ops = vec![message!(OpData { key: "producer_byte_rate".into(), value: 1.0, remove })];
            alter(message!(AlterClientQuotasRequest { entries: vec![message!(Asked { entity, ops })] })).entries[0].error_code
        };
        assert_eq!(alter_one(&["user", "client-id"], true), 0);
        assert_eq!(alter_one(&["user"], false), 44);
        for bad in [&[][..], &["group"], &["user", "user"]] {
            assert_eq!(alter_one(bad, true), 42, "{bad:?}");
        }
    }
}
