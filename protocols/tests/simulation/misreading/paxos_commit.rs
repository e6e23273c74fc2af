//! What broken leaders, acceptors and resource managers of Paxos Commit make of their messages.

use synod_protocols::paxos_commit::{Message, PaxosCommit};
use synod_protocols::protocol::{Config, Protocol};
use synod_protocols::transactions::Record;
use synod_protocols::types::{Ballot, ReplicaId, Replicas};
use synod_protocols::wire::Wire;

use super::Mail;
use super::transactions::{all_commit, all_yes, without_the_first};
use crate::arena::Bytes;
use crate::disk::Disk;
use crate::mutation::Mutation;
use crate::replica::Packet;

pub(super) fn misread(
    mutation: Mutation,
    mail: Mail,
    disk: &Disk,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let with = |shared| Mail { payload: Bytes { shared, commands: 0 }, ..mail.clone() };
    match (mutation, message) {
        (Mutation::CommitsAlone, Message::Prepare { round, .. }) => {
            let commit = with(all_commit());
            let commit = commit.saying(&Message::Commit { leader: mail.peer, round });
            vec![mail, commit]
        }
        (Mutation::AbortsAlone, Message::Prepare { round, .. }) => {
            let abort = with([].into()).saying(&Message::Abort { leader: mail.peer, round });
            vec![mail, abort]
        }
        (
            Mutation::CommitsWhatAborts,
            Message::Commit { leader, round } | Message::Abort { leader, round },
        ) => vec![with(all_commit()).saying(&Message::Commit { leader, round })],
        (Mutation::AbortsSome, Message::Commit { .. }) => {
            vec![with(without_the_first(&mail.payload.shared))]
        }
        (Mutation::TakesNoForYes, Message::Prepared { .. }) => {
            vec![with(all_yes(mail.payload.shared.to_vec()).into())]
        }
        (Mutation::DecidesByOneVote, Message::Prepared { leader, round, .. }) => {
            let outcome = mail.payload.shared[8..16].into();
            let ballot = Ballot::ZERO;
            let accepted = with(outcome).saying(&Message::Phase2b { leader, round, ballot });
            vec![mail, accepted]
        }
        (Mutation::ForgetsTooEarly, Message::Prepared { leader, round, managers, .. }) => {
            let (closed_before, finished_before) = (round, round + 1);
            let prepared =
                Message::Prepared { leader, round, managers, closed_before, finished_before };
            vec![mail.saying(&prepared)]
        }
        (Mutation::HidesVotes, Message::Phase1b { leader, round, ballot, .. }) => {
            let (has_accepted, accepted) = (false, Ballot::ZERO);
            let free = Message::Phase1b { leader, round, ballot, has_accepted, accepted };
            vec![with([].into()).saying(&free)]
        }
        (
            Mutation::PicksLowestBallot,
            Message::Phase1b { leader, round, ballot, has_accepted: true, accepted },
        ) => {
            // The other way round, and still one that a replica can have opened.
            let accepted = Ballot((1 << 40) + 8 - accepted.0);
            let found = Message::Phase1b { leader, round, ballot, has_accepted: true, accepted };
            vec![mail.saying(&found)]
        }
        (
            Mutation::PreparesFreeInstances,
            Message::Phase1b { leader, round, ballot, has_accepted: false, accepted },
        ) => {
            let found = Message::Phase1b { leader, round, ballot, has_accepted: true, accepted };
            vec![with(all_commit()).saying(&found)]
        }
        (Mutation::VotesBelowPromise, Message::Phase2a { leader, round, ballot })
            if ballot < promised(disk, leader, round) =>
        {
            let vote = Message::Phase2b { leader, round, ballot };
            packets.push(mail.saying(&vote).into_packet());
            Vec::new()
        }
        _ => vec![mail],
    }
}

/// A manager's vote that no locks were taken for, to the first acceptors of a round: what was read
/// goes to the leader only.
pub(super) fn prepared_without_locks(
    mail: &Mail,
    vote: &[u8],
    managers: Replicas,
    config: &Config,
) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let Message::Prepare { round, closed_before } = message else { return Vec::new() };
    let (leader, finished_before) = (mail.peer, 0);
    let prepared = Message::Prepared { leader, round, managers, closed_before, finished_before };
    let faults = PaxosCommit::PARAMETERS.iter().position(|known| known.name == "faults");
    let faults = config.parameters[faults.expect("it is one")];
    let acceptors = (0..=usize::try_from(faults).expect("a few")).map(|place| {
        let index = (leader.index() + place) % config.replicas;
        ReplicaId(u8::try_from(index).expect("a few"))
    });
    let said = acceptors.map(|peer| {
        let shared = if peer == leader { vote.into() } else { vote[..16].into() };
        let payload = Bytes { shared, commands: 0 };
        Mail { peer, payload, ..mail.clone() }.saying(&prepared)
    });
    said.collect()
}

/// The highest ballot of a round that an acceptor has promised.
fn promised(disk: &Disk, of: ReplicaId, name: u64) -> Ballot {
    let ballots = disk.log().iter().filter_map(|logged| {
        let record = Record::decode(&logged.record).expect("what was encoded");
        if let Record::Promised { leader, round, ballot, .. }
        | Record::Accepted { leader, round, ballot, .. } = record
        {
            ((leader, round) == (of, name)).then_some(ballot)
        } else {
            None
        }
    });
    ballots.max().unwrap_or(Ballot::ZERO)
}
