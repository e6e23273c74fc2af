//! What a workload says, once it has been read: types that cannot be wrong.
//!
//! Every number is in the smallest unit (nanoseconds, bytes), every default is filled in and every
//! relation between fields was checked, so nothing downstream validates again.

use std::path::PathBuf;

use crate::machine::MachineModel;
use crate::mix::Operation;
use crate::names::Named;

/// One run, or one per protocol and repeat: what to start, what to ask of it and what to break.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The name of the run folder; the name of the file unless the file says otherwise.
    pub name: String,
    /// What question the workload answers, for people.
    pub description: String,
    /// The replicas and how they are run.
    pub cluster: Cluster,
    /// The protocols to run one after the other; at least one, with unique labels.
    pub protocols: Vec<ProtocolChoice>,
    /// What the clients ask.
    pub load: Load,
    /// How long each part of a run lasts.
    pub phases: Phases,
    /// How often each protocol is run, 1 to 1,000.
    pub repeats: u32,
    /// Where every random choice starts.
    pub seed: u64,
    /// What simulated machines cost.
    pub model: MachineModel,
    /// What is broken when, in order of time.
    pub faults: Vec<Fault>,
}

/// The replicas and how they are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Replicas in each group, 1 to 9.
    pub replicas: u8,
    /// How many of them, the last ones, have no vote, 0 to 8.
    pub observers: u8,
    /// How many of them, the last ones, vote and execute nothing, 0 to 4.
    pub witnesses: u8,
    /// Independent groups, one core of every replica each, 1 to 64.
    pub cores: u16,
    /// What carries the messages.
    pub transport: Transport,
    /// What survives a crash.
    pub durability: Durability,
    /// What a replica does when it has nothing to do.
    pub wait: Wait,
    /// Which processors to pin to; absent when the engine chooses.
    pub placement: Option<Placement>,
    /// Where logs and snapshots go; absent for a temporary folder.
    pub data: Option<PathBuf>,
    /// What is gathered into one slot.
    pub batch: Batch,
    /// Slots in flight at most, 1 to 4,096.
    pub window: u32,
    /// The log of each replica.
    pub log: Log,
    /// What bounds memory.
    pub limits: Limits,
    /// What the links between replicas do from the start; absent when they are as they are.
    pub links: Option<Links>,
}

/// What the links between replicas do from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// What each of them does.
    pub all: Link,
    /// How long frames from each replica to each other take, in place of what `all` says.
    pub delays_ns: Option<Vec<Vec<u64>>>,
}

/// What an emulated link does to each frame from one replica to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// How long a frame takes.
    pub delay_ns: u64,
    /// How much this varies.
    pub jitter_ns: u64,
    /// How it varies.
    pub spread: Spread,
    /// Frames of a million that are lost.
    pub loss_ppm: u32,
    /// Frames of a million that arrive twice.
    pub duplication_ppm: u32,
    /// Bytes a second; absent for as many as come.
    pub bandwidth_bytes: Option<u64>,
    /// Whether a frame may overtake another.
    pub reorder: bool,
}

impl Link {
    /// Whether the link does anything.
    #[must_use]
    pub fn acts(&self) -> bool {
        self.delays()
            || self.loss_ppm > 0
            || self.duplication_ppm > 0
            || self.bandwidth_bytes.is_some()
    }

    /// Whether a frame takes longer than it would.
    #[must_use]
    pub const fn delays(&self) -> bool {
        self.delay_ns > 0 || self.jitter_ns > 0
    }
}

/// How the delay of a link varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Anything from the delay less the jitter to the delay and the jitter.
    Uniform,
    /// Around the delay, with the jitter as the deviation.
    Normal,
    /// At least the delay, and on top of it something with the jitter as the mean.
    Exponential,
    /// At least the delay, and a few very long.
    Pareto,
}

impl Named for Spread {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Uniform, "uniform", "from delay - jitter to delay + jitter, each alike"),
        (Self::Normal, "normal", "around the delay, with the jitter as deviation"),
        (
            Self::Exponential,
            "exponential",
            "the delay and more, with the jitter as the mean of more",
        ),
        (Self::Pareto, "pareto", "the delay and more, a few very much; without jitter"),
    ];
}

/// What carries the messages between replicas and from clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP sockets.
    Tcp,
    /// Unix domain sockets.
    Unix,
    /// Queues within one process: what a protocol costs with no kernel in the way.
    Memory,
}

impl Named for Transport {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Tcp, "tcp", "TCP sockets"),
        (Self::Unix, "unix", "Unix domain sockets, on one machine"),
        (Self::Memory, "memory", "queues within one process; needs durability: none"),
    ];
}

/// What survives a crash of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the log stays in memory.
    None,
    /// Everything answered for: one sync for all that gathered in a turn.
    Group,
    /// Everything answered for: one sync for each record.
    Each,
}

impl Named for Durability {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::None, "none", "the log stays in memory; a crashed replica may not come back"),
        (Self::Group, "group", "one sync of the disk for all that gathered in a turn"),
        (Self::Each, "each", "one sync of the disk for each record"),
    ];
}

/// What a replica does when it has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The engine chooses by the processors that it finds.
    Auto,
    /// Asks again and again; best with a processor to itself.
    Busy,
    /// Gives the processor to others and asks again.
    Yield,
    /// Sleeps in the kernel until something happens.
    Block,
}

impl Named for Wait {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Auto, "auto", "busy if there are processors enough and no log, else yield"),
        (Self::Busy, "busy", "ask again at once; needs a processor for each replica"),
        (Self::Yield, "yield", "give the processor to others, then ask again"),
        (Self::Block, "block", "sleep in the kernel until something happens"),
    ];
}

/// Which processors to pin to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// For each replica the processor of its first core; its other cores take the next ones.
    pub replicas: Vec<u16>,
    /// For each load thread its processor.
    pub load: Vec<u16>,
}

/// What is gathered into one slot: requests since the last turn, up to these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Operations in one batch at most.
    pub max_ops: u32,
    /// Command bytes in one batch at most; fits a frame and a log segment.
    pub max_bytes: u64,
    /// How long a batch waits for company, 0 for not at all.
    pub linger_ns: u64,
    /// Within what a batch should be answered, so that it waits as long as this allows; 0 for batches
    /// that wait for `linger_ns`.
    pub objective_ns: u64,
}

/// The log of each replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Size of one file of the log.
    pub segment_bytes: u64,
    /// Writes given to the disk at a time, 1 to 4.
    pub writes_in_flight: u8,
    /// How much is kept in memory for followers that lag.
    pub retain_bytes: u64,
    /// A snapshot is taken after so much log.
    pub snapshot_bytes: u64,
}

/// What bounds memory; past a bound a client is told `busy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame on the wire, up to 16 MiB.
    pub frame_bytes: u32,
    /// Operations queued at a replica.
    pub pending_ops: u32,
    /// Connections from clients to a replica of one group.
    pub connections: u32,
    /// Sessions that a replica remembers for at-most-once.
    pub sessions: u32,
    /// Resident memory of a replica: a run in which one had more is invalid.
    pub memory_bytes: u64,
}

/// One protocol to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolChoice {
    /// Its name in the catalog.
    pub name: String,
    /// Its name in reports, unique within the workload.
    pub label: String,
    /// One number for each parameter of the catalog, in that order.
    pub parameters: Vec<u64>,
}

/// What the clients ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Threads of the load generator, 1 to 64.
    pub threads: u16,
    /// Connections of each load thread to each group, 1 to 1,024.
    pub connections: u16,
    /// Logical clients in total, each one session; at least one per load thread.
    pub clients: u32,
    /// When operations start.
    pub arrival: Arrival,
    /// Which kinds of operations there are.
    pub mix: Mix,
    /// What transactions do.
    pub transaction: Transaction,
    /// Which keys they touch.
    pub keys: Keys,
    /// How long values are.
    pub values: Values,
    /// A request without an answer for so long is sent again, with the same id.
    pub timeout_ns: u64,
    /// After so long the outcome is recorded as unknown; at least `timeout_ns`.
    pub give_up_ns: u64,
    /// Of one operation of so many, in the mean, it is seen where its latency goes; 0 for none.
    pub sample_every: u32,
}

/// When operations start.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// Each client starts the next operation when one ends.
    Closed {
        /// Operations of one client at a time, at least 1.
        outstanding: u32,
        /// How long a client waits between an answer and its next operation.
        think_ns: u64,
    },
    /// Operations start by the clock, whatever the system does.
    Open {
        /// Operations per second over all load threads.
        rate_per_second: f64,
        /// How their starts are spread.
        spacing: Spacing,
        /// Other rates from the start of the warm-up, one after the other; then the rate holds.
        steps: Vec<RateStep>,
    },
}

/// A rate that holds for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateStep {
    /// How long.
    pub for_ns: u64,
    /// Operations per second over all load threads.
    pub rate_per_second: f64,
}

/// How the starts of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// As from many independent clients: exponential gaps.
    Poisson,
    /// Equal gaps.
    Constant,
}

impl Named for Spacing {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Poisson, "poisson", "exponential gaps, as from many independent clients"),
        (Self::Constant, "constant", "equal gaps"),
    ];
}

/// The share of each kind of operation, as fractions that sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Reading a value.
    pub get: f64,
    /// Writing a value, whether the key exists or not.
    pub put: f64,
    /// Writing a value to a key that has none.
    pub insert: f64,
    /// Removing a value.
    pub delete: f64,
    /// Writing a value if the present one is as expected.
    pub compare_and_swap: f64,
    /// Adding to a counter; only ever together with `get`.
    pub add: f64,
    /// A read and then a write of the same key.
    pub read_modify_write: f64,
    /// Reading and replacing several keys at once.
    pub transaction: f64,
}

impl Mix {
    /// No operation at all, to which shares are given.
    pub const NOTHING: Self = Self {
        get: 0.0,
        put: 0.0,
        insert: 0.0,
        delete: 0.0,
        compare_and_swap: 0.0,
        add: 0.0,
        read_modify_write: 0.0,
        transaction: 0.0,
    };

    /// The share of one kind of operation, 0 to 1.
    #[must_use]
    pub const fn share(&self, operation: Operation) -> f64 {
        match operation {
            Operation::Get => self.get,
            Operation::Put => self.put,
            Operation::Insert => self.insert,
            Operation::Delete => self.delete,
            Operation::CompareAndSwap => self.compare_and_swap,
            Operation::Add => self.add,
            Operation::ReadModifyWrite => self.read_modify_write,
            Operation::Transaction => self.transaction,
        }
    }
}

/// What each transaction does, to as many keys as that takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transaction {
    /// It reads keys, and replaces the values of others.
    ReadWrite {
        /// Keys that it reads.
        reads: u8,
        /// Keys whose value it replaces, and whose old value it gets.
        writes: u8,
    },
    /// Keys are accounts of banks: it moves money between those of one, or audits all of them.
    Transfer(Bank),
}

impl Transaction {
    /// Keys that it touches at most.
    #[must_use]
    pub fn keys(self) -> u64 {
        match self {
            Self::ReadWrite { reads, writes } => u64::from(reads) + u64::from(writes),
            Self::Transfer(bank) => bank.accounts.into(),
        }
    }
}

/// Keys one after the other that money moves between, and does not leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bank {
    /// Accounts of each bank: of key k in that with number k / accounts.
    pub accounts: u8,
    /// Accounts of the bank that get something from the one that pays, fewer than `accounts`.
    pub payees: u8,
    /// What each account is opened with.
    pub balance: u32,
    /// The most that a payee gets, which is from 1 on.
    pub amount: u32,
    /// Transactions that read all accounts of a bank, as a fraction of all.
    pub audits: f64,
}

/// The kinds of [`Transaction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    ReadWrite,
    Transfer,
}

impl Named for Shape {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::ReadWrite, "read_write", "reads keys, and replaces the values of others"),
        (Self::Transfer, "transfer", "moves money between accounts, or audits all of a bank"),
    ];
}

/// Which keys operations touch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keys {
    /// Keys that exist at the start.
    pub count: u64,
    /// The number of the first of them; the others follow it one by one.
    pub first: u64,
    /// Whether each key is written once before the warm-up.
    pub preload: bool,
    /// How often each key is chosen.
    pub distribution: KeyDistribution,
}

/// How often each key is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyDistribution {
    /// All alike.
    Uniform,
    /// The key of rank r with a weight of 1 / r^theta; the ranks are scattered over the keys.
    Zipfian {
        /// The skew, 0 (uniform) to 10.
        theta: f64,
    },
    /// As `Zipfian`, with the newest key as rank 1, the one before as rank 2, and so on.
    Latest {
        /// The skew, 0 to 10.
        theta: f64,
    },
    /// A part of the keys gets a part of the operations, each uniformly.
    HotSet {
        /// The hot keys, as a fraction of all.
        keys: f64,
        /// The operations on hot keys, as a fraction of all.
        operations: f64,
    },
}

/// How long values are, in bytes; at least 8, since a value starts with its 8-byte unique id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// All of one size.
    Fixed(u32),
    /// Each size from `min` to `max`, both included, alike.
    Uniform {
        /// The smallest size.
        min: u32,
        /// The largest size.
        max: u32,
    },
    /// These sizes with these weights; at least one weight is above 0.
    List(Vec<(u32, u32)>),
}

impl Values {
    /// The largest size that can occur, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u32 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform { max, .. } => *max,
            Self::List(sizes) => sizes.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0),
        }
    }
}

/// How long each part of a run lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// Load runs, nothing is counted.
    pub warm_up_ns: u64,
    /// What ends here is counted.
    pub measure_ns: u64,
    /// Load runs on, so that what started before ends under the same conditions.
    pub cool_down_ns: u64,
}

impl Phases {
    /// The length of a run.
    #[must_use]
    pub const fn total_ns(&self) -> u64 {
        // Each is at most a day, so this cannot overflow.
        self.warm_up_ns + self.measure_ns + self.cool_down_ns
    }
}

/// One thing that is broken or mended on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub trigger: Trigger,
    /// How long after the trigger; 0 for a time.
    pub delay_ns: u64,
    /// What is done.
    pub action: FaultAction,
    /// To whom.
    pub target: Target,
    /// After so long it ends by itself.
    pub for_ns: Option<u64>,
    /// When a replica that ended is started again, counted from its end.
    pub restart_after_ns: Option<u64>,
    /// For a fault of links: the replicas at the other ends; none for all others.
    pub peers: Vec<u8>,
    /// For a fault of links: which way.
    pub direction: Direction,
    /// For a partition: whether what is sent is kept until it ends, and not lost.
    pub hold: bool,
    /// What degraded links do.
    pub link: Option<Link>,
    /// Whether it is done again and again.
    pub repeat: Repeat,
}

/// What a fault waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A time, counted from the start of the warm-up; within the phases.
    At(u64),
    /// So many operations that ended since the start of the measurement.
    AfterOps(u64),
    /// The first time since the start of the warm-up that this happens.
    On(FaultEvent),
}

impl Trigger {
    /// The time, if it is one.
    #[must_use]
    pub const fn at_ns(self) -> Option<u64> {
        match self {
            Self::At(at_ns) => Some(at_ns),
            Self::AfterOps(_) | Self::On(_) => None,
        }
    }
}

/// Which way a fault of links works, seen from its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// On what the target sends and on what it is sent.
    Both,
    /// On what it sends.
    Out,
    /// On what it is sent.
    In,
}

impl Named for Direction {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Both, "both", "what the target sends and what it is sent"),
        (Self::Out, "out", "what the target sends"),
        (Self::In, "in", "what the target is sent"),
    ];
}

/// Something in the life of a cluster that a fault may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEvent {
    /// Another replica leads than before.
    LeaderElected,
    /// A replica that was started again is ready.
    ReplicaReady,
}

impl Named for FaultEvent {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::LeaderElected, "leader_elected", "another replica leads than before"),
        (Self::ReplicaReady, "replica_ready", "a replica that was started again is ready"),
    ];
}

/// How often a fault is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// From one time to the next; 0 when there is only one.
    pub every_ns: u64,
    /// How many times, at least 1.
    pub times: u32,
}

impl Fault {
    /// When a fault with a time is done last.
    #[must_use]
    pub fn last_at_ns(&self) -> Option<u64> {
        let at_ns = self.trigger.at_ns()?;
        Some(at_ns + self.repeat.every_ns * u64::from(self.repeat.times - 1))
    }
}

/// What a fault does to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// Ends its process at once.
    Kill,
    /// Ends its process at once, and empties its disk.
    Wipe,
    /// Stops its process, which keeps its memory and its sockets.
    Pause,
    /// Lets a paused process go on.
    Resume,
    /// Starts a killed process again.
    Restart,
    /// Makes links worse.
    Degrade,
    /// Cuts links.
    Partition,
    /// Lets no write of the log end.
    Stall,
    /// Lets the next write of the log fail, which ends the replica.
    DiskError,
    /// Asks the leader to hand its leadership over to the target.
    Transfer,
    /// Asks for the target to vote.
    Add,
    /// Asks for the target to vote no more.
    Remove,
}

impl FaultAction {
    /// Its name in workloads and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        Named::name(self)
    }

    /// Whether it is a fault of links.
    #[must_use]
    pub const fn is_of_links(self) -> bool {
        matches!(self, Self::Degrade | Self::Partition)
    }

    /// Whether it is a fault of the log's disk.
    #[must_use]
    pub const fn is_of_disk(self) -> bool {
        matches!(self, Self::Stall | Self::DiskError)
    }

    /// Whether it breaks nothing, but asks the group for a change as an administrator does.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Transfer | Self::Add | Self::Remove)
    }

    /// Whether it ends the replica, which may then be started again.
    #[must_use]
    pub const fn ends_replica(self) -> bool {
        matches!(self, Self::Kill | Self::Wipe | Self::DiskError)
    }
}

impl Named for FaultAction {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Kill, "kill", "end the process at once"),
        (Self::Wipe, "wipe", "end the process at once, and empty its disk"),
        (Self::Pause, "pause", "stop the process; it keeps memory and sockets"),
        (Self::Resume, "resume", "let a paused process go on"),
        (Self::Restart, "restart", "start a killed process again"),
        (Self::Degrade, "degrade", "let links delay, lose or double frames, or take few bytes"),
        (Self::Partition, "partition", "cut links"),
        (Self::Stall, "stall", "let no write of the log end"),
        (
            Self::DiskError,
            "disk_error",
            "let the next write of the log fail, which ends the replica",
        ),
        (Self::Transfer, "transfer", "ask the leader to hand its leadership over"),
        (Self::Add, "add", "let a replica vote that does not"),
        (Self::Remove, "remove", "let a replica vote no more"),
    ];
}

/// Which replica a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The leader at that moment.
    Leader,
    /// A replica that does not lead at that moment, chosen by the seed.
    Follower,
    /// Any replica, chosen by the seed.
    Random,
    /// This one, numbered from 0.
    Replica(u8),
}
