//! What the controller and a replica's process say to each other: one JSON object for each line,
//! orders on the replica's standard input, reports on its standard output.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use synod_protocols::protocol::{Change, PARAMETERS_MAX};
use synod_protocols::types::{REPLICAS_MAX, ReplicaId};

use crate::emulate::{Evidence, Rule};
use crate::greeting::Key;
use crate::io::Address;
use crate::node::Counters;

/// The first line that a replica's process reads: everything that it has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enlist {
    /// The protocol's name.
    pub protocol: String,
    /// Its parameters, in the protocol's order.
    pub parameters: Vec<u64>,
    /// Which replica this is.
    pub id: u8,
    /// How many there are.
    pub replicas: u8,
    /// How many of them, the last ones, have no vote.
    pub observers: u8,
    /// How many of them, the last ones, vote and execute nothing.
    pub witnesses: u8,
    /// Whether it starts for the first time: later a replica without a log has lost it.
    pub founding: bool,
    /// The run's cluster.
    pub cluster: u64,
    /// What the replicas of the run know each other by.
    pub key: Key,
    /// Seeds timers.
    pub seed: u64,
    /// For each group where to listen; port 0 lets the system choose.
    pub listen: Vec<WireAddress>,
    /// For each group the processor to run on.
    pub processors: Vec<usize>,
    /// `busy`, `yield` or `block`.
    pub wait: String,
    /// `none`, `group` or `each`.
    pub durability: String,
    /// Where the log and snapshots are; each group has a folder inside.
    pub data: PathBuf,
    /// Batches in flight at most.
    pub window: usize,
    /// Requests in one batch at most.
    pub batch_ops_max: usize,
    /// Bytes in one batch at most.
    pub batch_bytes_max: usize,
    /// How long a batch waits for more.
    pub linger_ns: u64,
    /// Within what a batch should be answered, 0 for a fixed wait.
    pub objective_ns: u64,
    /// The longest frame.
    pub frame_bytes_max: u32,
    /// Requests that wait at a replica at most.
    pub pending_ops_max: usize,
    /// Keys that a store is made for.
    pub keys_expected: usize,
    /// Sessions that a replica remembers.
    pub sessions_max: usize,
    /// Client numbers are below this.
    pub clients_max: usize,
    /// The size of one file of the log.
    pub segment_bytes: u64,
    /// Writes in flight at most.
    pub writes_in_flight: usize,
    /// Bytes of agreed batches that are kept for those who lag.
    pub retain_bytes: u64,
    /// A snapshot is taken after so much log.
    pub snapshot_bytes: u64,
    /// What the links to each replica do at first; absent in a run without emulated faults.
    pub links: Option<Vec<Rule>>,
}

impl Enlist {
    /// Whether the counts in it fit each other and what a group can be.
    ///
    /// # Errors
    /// A sentence: which do not.
    pub fn check(&self) -> Result<(), String> {
        let Self { parameters, id, replicas, observers, witnesses, listen, processors, .. } = self;
        if usize::from(*replicas) > REPLICAS_MAX || id >= replicas {
            return Err(format!("there is no replica {id} of {replicas}"));
        }
        if observers >= replicas {
            return Err(format!(
                "{observers} observers of {replicas} replicas leave nobody to vote"
            ));
        }
        if *witnesses > (replicas - 1) / 2 {
            return Err(format!("{witnesses} witnesses of {replicas} replicas leave no majority"));
        }
        if parameters.len() > PARAMETERS_MAX {
            let count = parameters.len();
            return Err(format!("{count} parameters are more than the {PARAMETERS_MAX} there are"));
        }
        if listen.is_empty() || listen.len() != processors.len() {
            let (groups, count) = (listen.len(), processors.len());
            return Err(format!("{groups} groups cannot run on {count} processors"));
        }
        Ok(())
    }
}

/// Every further line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Where all replicas listen: for each group, each replica.
    Meet(Vec<Vec<WireAddress>>),
    /// Everybody is ready: timers may run.
    Start,
    /// What the links to each replica do from now on.
    Links(Vec<Rule>),
    /// For so many nanoseconds no write of the log ends.
    Stall(u64),
    /// The next write of the log fails.
    FailWrite,
    /// What an administrator asks of all groups.
    Change(WireChange),
    /// End in good order.
    Stop,
}

/// What a replica's process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Where it listens, for each group.
    Listening(Vec<WireAddress>),
    /// Its memory is there and its log is read: so many records for each group.
    Ready(Vec<u64>),
    /// How it is doing.
    Status(Vec<Status>),
    /// What emulated faults have done.
    Evidence(Evidence),
}

/// How one group of a replica is doing.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Whether it leads now.
    pub leads: bool,
    /// Who votes as far as it knows, one bit for each replica; absent where that never changes.
    pub voters: Option<u16>,
    /// What it has counted.
    pub counters: Counters,
    /// Processor time that its thread has used.
    pub cpu_ns: u64,
    /// When this was so, on the machine's monotonic clock.
    pub at_ns: u64,
}

/// A [`Change`] as JSON has it: with the number of a replica.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireChange {
    /// This replica is to lead.
    Transfer(u8),
    /// It is to vote.
    Add(u8),
    /// It is to vote no more.
    Remove(u8),
}

impl From<WireChange> for Change {
    fn from(change: WireChange) -> Self {
        match change {
            WireChange::Transfer(id) => Self::Transfer(ReplicaId(id)),
            WireChange::Add(id) => Self::Add(ReplicaId(id)),
            WireChange::Remove(id) => Self::Remove(ReplicaId(id)),
        }
    }
}

impl From<Change> for WireChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Transfer(id) => Self::Transfer(id.0),
            Change::Add(id) => Self::Add(id.0),
            Change::Remove(id) => Self::Remove(id.0),
        }
    }
}

/// An [`Address`] as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A place in the process that has all replicas.
    Memory(u32),
}

impl From<WireAddress> for Address {
    fn from(address: WireAddress) -> Self {
        match address {
            WireAddress::Tcp(address) => Self::Tcp(address),
            WireAddress::Unix(path) => Self::Unix(path),
            WireAddress::Memory(number) => Self::Memory(number),
        }
    }
}

impl From<Address> for WireAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Tcp(address) => Self::Tcp(address),
            Address::Unix(path) => Self::Unix(path),
            Address::Memory(number) => Self::Memory(number),
        }
    }
}
