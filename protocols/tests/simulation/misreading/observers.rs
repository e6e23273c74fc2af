//! What replicas may get wrong about observers.

use synod_protocols::protocol::Config;
use synod_protocols::types::{Reign, ReplicaId, Slot};
use synod_protocols::wire::Wire;
use synod_protocols::zab::Message;

use super::Mail;
use crate::arena::Bytes;
use crate::mutation::Mutation;
use crate::replica::Packet;

/// What is taken in instead of a message, if it concerns observers.
pub(super) fn misread(
    mutation: Mutation,
    mail: &Mail,
    config: &Config,
    (epoch, end): (Reign, Slot),
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Option<Vec<Mail>> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let voters = config.replicas - config.observers;
    match (mutation, message) {
        (Mutation::VotesForObservers, Message::Notification { round, zxid, looking: true, .. })
            if config.observers > 0 =>
        {
            let leader = ReplicaId(u8::try_from(voters).expect("a few"));
            let epoch = Reign(1 << 40);
            let vote = Message::Notification { round, leader, epoch, zxid, looking: true };
            Some(vec![mail.clone().saying(&vote)])
        }
        (Mutation::CountsObservers, Message::Ack { .. } | Message::AckLd { .. })
            if mail.peer.index() >= voters =>
        {
            // For one that does not receive it.
            let counted = (0..voters).find(|&voter| voter != config.id.index())?;
            let voter = ReplicaId(u8::try_from(counted).expect("a few"));
            Some(vec![mail.clone(), mail.clone().from(voter)])
        }
        (Mutation::CountsObservers, Message::Ping { .. }) if config.id.index() >= voters => {
            // Fetching is no mistake, and gets it what is not committed yet.
            let fetch = Mail { payload: Bytes::default(), ..mail.clone() };
            packets.push(fetch.saying(&Message::Fetch { epoch, zxid: end }).into_packet());
            None
        }
        _ => None,
    }
}
