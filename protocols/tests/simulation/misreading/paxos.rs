//! What a broken replica of classic Paxos makes of its messages.

use std::collections::BTreeMap;

use synod_protocols::paxos::{Message, Record};
use synod_protocols::types::{Ballot, ReplicaId, Slot};
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::disk::Disk;
use crate::mutation::Mutation;
use crate::replica::{Packet, encoded};

pub(super) fn misread(
    mutation: Mutation,
    mail: Mail,
    applied: Slot,
    disk: &Disk,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    match (mutation, message) {
        (Mutation::HidesVotes, Message::Promise { slot, ballot, .. }) => {
            let promise = Message::Promise { slot, ballot, accepted: Ballot::ZERO };
            vec![mail.saying(&promise)]
        }
        (Mutation::PicksLowestBallot, Message::Promise { slot, ballot, accepted })
            if accepted > Ballot::ZERO =>
        {
            // The other way round, and still one that a replica can have opened.
            let accepted = Ballot((1 << 50) + 8 - accepted.0);
            vec![mail.saying(&Message::Promise { slot, ballot, accepted })]
        }
        (Mutation::FillsWithNothing, Message::Promise { .. }) => {
            vec![Mail { payload: Bytes::default(), ..mail }]
        }
        (Mutation::VotesBelowPromise, Message::Accept { slot, ballot })
            if ballot < promised(disk, slot) =>
        {
            let vote = Mail { payload: Bytes::default(), ..mail };
            packets.push(vote.saying(&Message::Accepted { slot, ballot }).into_packet());
            Vec::new()
        }
        (Mutation::TrustsBound, Message::Learn { slot, .. }) => match votes(disk).get(&slot) {
            Some(vote) => {
                let chosen = Message::Chosen { slot, applied };
                vec![Mail { payload: vote.clone(), ..mail }.saying(&chosen)]
            }
            None => vec![mail],
        },
        (Mutation::TeachesVotes, Message::Ask { from }) => {
            let told = votes(disk).into_iter().filter(|(slot, _)| *slot >= from);
            packets.extend(told.map(|(slot, payload)| {
                let message = encoded(&Message::Chosen { slot, applied });
                Mail { peer: mail.peer, message, payload }.into_packet()
            }));
            vec![mail]
        }
        (Mutation::LearnsPastHoles, Message::Chosen { slot, applied: bound }) if slot > applied => {
            vec![mail.saying(&Message::Chosen { slot: applied, applied: bound })]
        }
        _ => vec![mail],
    }
}

/// The highest ballot that an acceptor has promised in a slot.
fn promised(disk: &Disk, of: Slot) -> Ballot {
    let ballots = disk.log().iter().map(|logged| {
        match Record::decode(&logged.record).expect("what was encoded") {
            Record::Promised { slot, ballot, .. } | Record::Accepted { slot, ballot, .. }
                if slot == of =>
            {
                ballot
            }
            Record::Promised { .. }
            | Record::Accepted { .. }
            | Record::Life { .. }
            | Record::Chosen { .. }
            | Record::Checkpoint { .. }
            | Record::Installed { .. } => Ballot::ZERO,
        }
    });
    ballots.max().unwrap_or(Ballot::ZERO)
}

/// What an acceptor voted for last in each slot.
fn votes(disk: &Disk) -> BTreeMap<Slot, Bytes> {
    let voted = disk.log().iter().filter_map(|logged| match Record::decode(&logged.record) {
        Some(Record::Accepted { slot, .. }) => Some((slot, logged.payload.clone())),
        _ => None,
    });
    voted.collect()
}
