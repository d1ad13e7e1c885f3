//! InitProducerId: an id for an idempotent producer, never given twice (R23). A transactional id is refused, fatally.

use crate::broker::Broker;
use floe_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use floe_protocol::{ErrorCode, message};

pub(super) fn handle(broker: &Broker, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let code = match request.transactional_id.as_deref() {
        None => {
            return message!(InitProducerIdResponse { producer_id: broker.engine.allocate_producer_id(), producer_epoch: 0_i16 });
        }
        Some("") => ErrorCode::InvalidRequest,
        // Fatal in Java and in librdkafka; the answer has no place for a sentence.
        Some(_) => ErrorCode::TransactionalIdAuthorizationFailed,
    };
    message!(InitProducerIdResponse { error_code: code.code(), producer_id: -1, producer_epoch: -1_i16 })
}
