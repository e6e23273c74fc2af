//! What a replica that stands in for others, or takes what was kept for it, may get wrong.

use synod_protocols::quorum::Message;
use synod_protocols::registers::items::Entry;
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::mutation::Mutation;
use crate::replica::Packet;
use crate::store::{Store, Value};
use synod_protocols::types::ReplicaId;

pub(super) fn misread(
    mutation: Mutation,
    mail: Mail,
    store: &mut Store,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let answer = |message| Mail { payload: Bytes::default(), ..mail.clone() }.saying(message);
    match (mutation, message) {
        (Mutation::CountsWithoutHint, Message::HintedWrite { round, meant_for }) => {
            packets.push(answer(&Message::HintedAck { round, meant_for }).into_packet());
            Vec::new()
        }
        (Mutation::StoresHintsAsOwn, Message::HintedWrite { round, meant_for }) => {
            packets.push(answer(&Message::HintedAck { round, meant_for }).into_packet());
            vec![mail.saying(&Message::Repair {})]
        }
        // As who keeps them would: nothing is stored, and the sender drops what it sent.
        (Mutation::DropsHintsEarly, Message::Handoff { batch }) => {
            packets.push(answer(&Message::HandoffAck { batch }).into_packet());
            Vec::new()
        }
        (Mutation::HandsOffOverNewer, Message::Handoff { .. }) => {
            for (key, register) in Entry::all(&mail.payload.shared) {
                let value = Value { deleted: register.deleted, bytes: register.value.to_vec() };
                store.overwrite_register(key, register.tag, value);
            }
            vec![mail]
        }
        _ => vec![mail],
    }
}
