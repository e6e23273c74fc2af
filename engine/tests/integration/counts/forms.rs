//! What one operation costs, as closed forms in the number of replicas, or of resource managers: the
//! tests hold the simulator and the engine against them, and the list of protocols shows them.

use std::fmt;
use std::ops::RangeInclusive;

/// A count that depends on the number of replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    /// The same for any number.
    Fixed(u64),
    /// So many for each replica.
    Replicas(u64),
    /// So many for each replica, and the second more.
    ReplicasAnd(u64, u64),
    /// So many for each replica but the one that coordinates.
    Others(u64),
    /// So many for each replica, less the second.
    ReplicasLess(u64, u64),
}

use Count::{Fixed, Others, Replicas, ReplicasAnd, ReplicasLess};

impl Count {
    /// The count for so many replicas.
    pub(crate) fn at(self, replicas: u64) -> u64 {
        match self {
            Fixed(count) => count,
            Replicas(count) => count * replicas,
            ReplicasAnd(count, more) => count * replicas + more,
            Others(count) => count * (replicas - 1),
            ReplicasLess(count, less) => count * replicas - less,
        }
    }

    /// Twice as many.
    pub(crate) fn twice(self) -> Self {
        match self {
            Fixed(count) => Fixed(2 * count),
            Replicas(count) => Replicas(2 * count),
            ReplicasAnd(count, more) => ReplicasAnd(2 * count, 2 * more),
            Others(count) => Others(2 * count),
            ReplicasLess(count, less) => ReplicasLess(2 * count, 2 * less),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fixed(count) => write!(f, "{count}"),
            Replicas(1) => write!(f, "N"),
            Replicas(count) => write!(f, "{count}N"),
            ReplicasAnd(1, more) => write!(f, "N + {more}"),
            ReplicasAnd(count, more) => write!(f, "{count}N + {more}"),
            Others(1) => write!(f, "N - 1"),
            Others(count) => write!(f, "{count}(N - 1)"),
            ReplicasLess(count, less) => write!(f, "{count}N - {less}"),
        }
    }
}

/// What one operation costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cost {
    /// Messages between replicas: with a leader each is to or from it.
    pub(crate) messages: Count,
    /// Messages one after the other, from the client and back to it. Those of registers are those of
    /// their papers plus the way to the replica that coordinates and back, which there is the client
    /// itself.
    pub(crate) delays: Count,
    /// Forced writes, of all replicas.
    pub(crate) writes: Count,
    /// Whether one replica coordinates all operations, or the work goes round.
    pub(crate) by_leader: bool,
}

impl Cost {
    /// Messages that the busiest replica sends or receives for an operation: the leader all of them;
    /// where the work goes round each replica its share of both ends.
    pub(crate) fn of_busiest(&self) -> String {
        if self.by_leader {
            self.messages.to_string()
        } else {
            let twice = self.messages.twice();
            if let ReplicasLess(..) = twice { format!("({twice})/N") } else { format!("{twice}/N") }
        }
    }
}

/// A stable leader: the batch to each other replica and an acknowledgement from it; what is committed
/// travels with the next batch.
const LEADER: Cost =
    Cost { messages: Others(2), delays: Fixed(4), writes: Replicas(1), by_leader: true };
/// The same, but commits are messages of their own.
const LEADER_WITH_COMMITS: Cost = Cost { messages: Others(3), ..LEADER };
/// Both phases for each slot, then everybody learns; promises and votes are written.
const PAXOS: Cost =
    Cost { messages: Others(5), delays: Fixed(6), writes: Replicas(2), by_leader: false };
/// A coordinator asks all others twice, and all write.
const TWO_PHASES: Cost = Cost { messages: Others(4), writes: Replicas(1), ..PAXOS };
/// A coordinator asks all others once to write.
const ONE_WRITE: Cost = Cost { by_leader: false, ..LEADER };
/// A coordinator asks all others once to read.
const ONE_READ: Cost = Cost { writes: Fixed(0), ..ONE_WRITE };
/// A coordinator asks all others to prepare, and tells them the outcome; all write, and it twice (Gray
/// and Lamport 2006, Figure 4, with the transaction manager at the first resource manager).
const TWO_PHASE_COMMIT: Cost =
    Cost { messages: Others(3), delays: Fixed(4), writes: ReplicasAnd(1, 1), by_leader: false };
/// The votes go to F + 1 acceptors, F = 1 of them at other replicas, which write them down and tell the
/// leader (the same figure, with acceptors at resource managers): N(F + 3) - 3.
const PAXOS_COMMIT: Cost = Cost {
    messages: ReplicasLess(4, 3),
    delays: Fixed(5),
    writes: ReplicasAnd(1, 2),
    by_leader: false,
};
/// Acceptors tell all resource managers themselves: (N - 1)(2F + 3). Those know the outcome one delay
/// earlier, the client does not.
const FASTER_PAXOS_COMMIT: Cost = Cost { messages: Others(5), ..PAXOS_COMMIT };
/// Both with F = 2.
const PAXOS_COMMIT_OF_TWO: Cost =
    Cost { messages: ReplicasLess(5, 3), writes: ReplicasAnd(1, 3), ..PAXOS_COMMIT };
const FASTER_PAXOS_COMMIT_OF_TWO: Cost = Cost { messages: Others(7), ..PAXOS_COMMIT_OF_TWO };
/// The same with N resource managers apart from the transaction manager, which is where the client
/// asks: N messages to prepare, N votes, and N outcomes. The figure has 3N - 1, as one manager begins
/// there and votes with the message that asks for the commit.
const TWO_PHASE_COMMIT_APART: Cost = Cost { messages: Replicas(3), ..TWO_PHASE_COMMIT };
/// With 2F + 1 acceptors apart from the managers, the leader one of them, and F = 1: N messages to
/// prepare, N(F + 1) votes, F acceptors that tell the leader, and N outcomes, which is N(F + 3) + F;
/// the figure has one less again.
const PAXOS_COMMIT_APART: Cost = Cost { messages: ReplicasAnd(4, 1), ..PAXOS_COMMIT };
/// Acceptors tell all managers, and the leader for the sake of its client: N(2F + 3) + F. In the figure
/// nobody waits at the leader, and one manager begins: N(2F + 3) - 1.
const FASTER_PAXOS_COMMIT_APART: Cost = Cost { messages: ReplicasAnd(5, 1), ..PAXOS_COMMIT };
const ALONE: Cost =
    Cost { messages: Fixed(0), delays: Fixed(2), writes: Fixed(1), by_leader: true };

/// What an operation of a protocol costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) protocol: &'static str,
    /// Its parameters as in a workload, where they are not those by default.
    pub(crate) with: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) cost: Cost,
    /// Replicas without which the parameters make no sense.
    pub(crate) replicas_min: u64,
    /// Who else there is.
    pub(crate) beside: Beside,
}

/// Who there is beside the N that vote and execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beside {
    Nobody,
    /// Observers: each costs so many messages, and a write more, for which nobody waits.
    Observers {
        messages: u64,
    },
    /// Witnesses, which stand by and cost nothing.
    Witnesses,
}

impl Beside {
    /// How many of them are tried.
    pub(crate) const fn tried(self) -> RangeInclusive<u8> {
        match self {
            Self::Nobody => 0..=0,
            Self::Observers { .. } | Self::Witnesses => 1..=2,
        }
    }

    /// If there are so many of them: how many are observers, and how many witnesses.
    pub(crate) const fn roles(self, count: u8) -> [u8; 2] {
        match self {
            Self::Nobody => [0, 0],
            Self::Observers { .. } => [count, 0],
            Self::Witnesses => [0, count],
        }
    }
}

impl Form {
    /// Messages, delays and forced writes for so many replicas that vote and execute, and so many beside.
    pub(crate) fn at(&self, replicas: u8, beside: u8) -> [u64; 3] {
        let Cost { messages, delays, writes, .. } = self.cost;
        let [messages, delays, writes] =
            [messages, delays, writes].map(|count| count.at(replicas.into()));
        match self.beside {
            Beside::Nobody | Beside::Witnesses => [messages, delays, writes],
            Beside::Observers { messages: more } => {
                [messages + u64::from(beside) * more, delays, writes + u64::from(beside)]
            }
        }
    }
}

const fn form(protocol: &'static str, operation: &'static str, cost: Cost) -> Form {
    Form { protocol, with: "", operation, cost, replicas_min: 1, beside: Beside::Nobody }
}

/// Operations of each kind that costs something else. The gets of protocols with a log cost what puts
/// do, as they go through the log; that of one of them is counted.
pub(crate) const FORMS: &[Form] = &[
    form("unreplicated", "put", ALONE),
    form("paxos", "put", PAXOS),
    form("multi_paxos", "put", LEADER),
    form("multi_paxos", "get", LEADER),
    form("raft", "put", LEADER),
    // Learners are sent what followers are, and acknowledge it.
    Form { beside: Beside::Observers { messages: 2 }, ..form("raft", "put", LEADER) },
    form("viewstamped", "put", LEADER),
    Form { beside: Beside::Witnesses, ..form("viewstamped", "put", LEADER) },
    form("zab", "put", LEADER_WITH_COMMITS),
    // What is committed, in one message.
    Form { beside: Beside::Observers { messages: 1 }, ..form("zab", "put", LEADER_WITH_COMMITS) },
    form("abd", "put", TWO_PHASES),
    form("abd", "get", ONE_READ),
    form("quorum", "put", TWO_PHASES),
    form("quorum", "get", ONE_READ),
    Form { with: "query: false, read_repair: false", ..form("quorum", "put", ONE_WRITE) },
    form("two_phase_commit", "transaction", TWO_PHASE_COMMIT),
    form("two_phase_commit", "transfer", TWO_PHASE_COMMIT),
    form("paxos_commit", "transaction", PAXOS_COMMIT),
    form("paxos_commit", "transfer", PAXOS_COMMIT),
    Form { with: "faults: 0", ..form("paxos_commit", "transaction", TWO_PHASE_COMMIT) },
    Form { with: "faster: true", ..form("paxos_commit", "transaction", FASTER_PAXOS_COMMIT) },
    Form {
        with: "faults: 2",
        replicas_min: 5,
        ..form("paxos_commit", "transaction", PAXOS_COMMIT_OF_TWO)
    },
    Form {
        with: "faults: 2, faster: true",
        replicas_min: 5,
        ..form("paxos_commit", "transaction", FASTER_PAXOS_COMMIT_OF_TWO)
    },
];

/// Forms in the number of resource managers, which are apart from so many replicas that coordinate or
/// accept and hold no key (Gray and Lamport 2006, Figure 4, without co-location).
pub(crate) const APART: &[(u64, Form)] = &[
    (1, form("two_phase_commit", "transaction", TWO_PHASE_COMMIT_APART)),
    (1, Form { with: "faults: 0", ..form("paxos_commit", "transaction", TWO_PHASE_COMMIT_APART) }),
    (3, form("paxos_commit", "transaction", PAXOS_COMMIT_APART)),
    (
        3,
        Form {
            with: "faster: true",
            ..form("paxos_commit", "transaction", FASTER_PAXOS_COMMIT_APART)
        },
    ),
];
