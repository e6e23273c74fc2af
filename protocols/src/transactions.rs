//! What protocols for transactions share: every replica is a resource manager for its part of the
//! keys, which nobody else holds, and coordinates the transactions that it gets.
//!
//! 1. [`items`]: what the payloads of messages and records hold.
//! 2. [`locks`]: who may touch which key (two-phase locking without waiting).
//! 3. [`manager`]: a resource manager, which executes parts of transactions, votes, and keeps what is
//!    prepared until it hears the outcome.
//! 4. [`answers`]: what clients are told.

use crate::command::Command;
use crate::types::{Ballot, ReplicaId, Replicas};
use crate::wire_enum;

pub mod answers;
pub mod items;
pub mod locks;
pub mod manager;

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The number of a life of this replica.
        Life = 1 {
            /// It grows with each restart.
            life: u16,
        },
        /// A resource manager is prepared: the payload says which keys it locks and what it writes
        /// if the transactions commit.
        Prepared = 2 {
            /// Who knows the outcome.
            coordinator: ReplicaId,
            /// The coordinator's name for the round.
            round: u64,
        },
        /// A resource manager heard outcomes, which are the payload. Never forced: whoever lacks it
        /// asks again.
        Finished = 3 {},
        /// A coordinator of Two-Phase Commit has decided: the payload says which transactions of the round
        /// commit.
        Committed = 4 {
            /// The round.
            round: u64,
            /// The resource managers that must hear of it.
            participants: Replicas,
        },
        /// Rounds, which are the payload, whose outcome all resource managers have durably. Never
        /// forced, like [`Record::Finished`].
        Ended = 5 {},
        /// A resource manager votes on no round of a coordinator up to this one any more.
        Heard = 6 {
            /// The coordinator.
            coordinator: ReplicaId,
            /// The latest of these rounds.
            round: u64,
        },
        /// An acceptor of Paxos Commit takes part in no ballot of a round below this one.
        Promised = 7 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot.
            ballot: Ballot,
            /// The resource managers that need its outcome.
            waiting: Replicas,
        },
        /// An acceptor of Paxos Commit has accepted in all instances of a round; what the votes come to is
        /// the payload.
        Accepted = 8 {
            /// Whose round it is.
            leader: ReplicaId,
            /// The round.
            round: u64,
            /// The ballot.
            ballot: Ballot,
            /// The resource managers that need its outcome.
            waiting: Replicas,
            /// The acceptor has forgotten all rounds of the leader before this one.
            forgotten_before: u64,
        },
    }
}

/// The resource manager that holds this key.
#[must_use]
pub fn owner(key: u64, replicas: usize) -> ReplicaId {
    let owner = key % replicas as u64;
    ReplicaId(u8::try_from(owner).expect("replicas are few"))
}

/// The resource managers that have a part in a command.
#[must_use]
pub fn owners(command: &Command<'_>, replicas: usize) -> Replicas {
    let mut owners = Replicas::NONE;
    for part in command.parts() {
        owners.insert(owner(part.key, replicas));
    }
    owners
}
