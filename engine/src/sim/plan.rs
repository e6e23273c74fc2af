//! What a seed stands for: a cluster, its world and what goes wrong, all drawn before the run.
//!
//! Swarm testing (Groce et al. 2012): each run leaves out some of the options, because a mixture of
//! all of them at once hides what only a few together can reach.

use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{self, Change, PARAMETERS_MAX, Protocol, Service};
use synod_protocols::quorum::votes::Votes;
use synod_protocols::types::ReplicaId;
use synod_workloads::{
    Arrival, Bank, Concern, Cpu, KeyDistribution, Keys, Load, Mix, Phases, Random, Transaction,
    Values, format_duration,
};

use super::models::Clock;
use crate::latency::Latency;
use crate::wal::WalLimits;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Frames are at most so long: a piece of a snapshot must fit.
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// The longest write: one record as long as a frame.
const WRITE_BYTES_MAX: usize = (128 << 10) + (8 << 10);

/// Everything about one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it was drawn from, and where all further choices start.
    pub seed: u64,
    /// Groups; each replica has a machine for each.
    pub groups: usize,
    /// Replicas in a group.
    pub replicas: u8,
    /// How many of them, the last ones, have no vote.
    pub observers: u8,
    /// How many of them, the last ones, vote and execute nothing.
    pub witnesses: u8,
    /// The protocol's own parameters.
    pub parameters: [u64; PARAMETERS_MAX],
    /// Batches in flight.
    pub window: usize,
    /// Commands in one batch.
    pub batch_ops_max: usize,
    /// How long a batch waits.
    pub linger_ns: u64,
    /// Within what a batch should be answered; 0 for a fixed linger.
    pub objective_ns: u64,
    /// Bytes kept for those who lag.
    pub retain_bytes: u64,
    /// Bytes of log between snapshots.
    pub snapshot_bytes: u64,
    /// The log; `None` for replicas that keep nothing.
    pub log: Option<WalLimits>,
    /// Whether each record is a write of its own.
    pub sync_each: bool,
    /// What bounds memory.
    pub limits: Limits,
    /// What clients ask.
    pub load: Load,
    /// For how long they ask.
    pub phases: Phases,
    /// For how long things go wrong.
    pub faults_ns: u64,
    /// How many times slower than usual everything is that waits: clients, time-outs and faults.
    pub slowness: u64,
    /// The way from one machine to another.
    pub network: Network,
    /// What turns cost.
    pub cpu: Cpu,
    /// The processor of each machine, counted from 0: of the replicas, then of the load generator.
    /// Machines on one processor take turns.
    pub processors: Vec<usize>,
    /// How long processors are away at a time, and how long they are there in between, in
    /// nanoseconds; `None` for always there.
    pub away: Option<(u64, u64)>,
    /// Bytes that a turn takes in before it leaves the rest to the next. What came on a connection
    /// since the last turn is then one thing that happened, as it is on a ring. Without a bound
    /// everything is taken in, and each piece is one.
    pub turn_bytes: Option<usize>,
    /// How long a synced write takes.
    pub disk: Latency,
    /// How a disk gets from one write to the next.
    pub disk_queue: DiskQueue,
    /// The clock of each machine: of the replicas, then of the load generator.
    pub clocks: Vec<Clock>,
    /// What goes wrong, in order of time.
    pub faults: Vec<Fault>,
    /// Whether a process that its disk has stopped is started again by itself.
    pub restarts: bool,
}

/// What bounds the memory of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest frame.
    pub frame_bytes_max: u32,
    /// Bytes in one batch at most.
    pub batch_bytes_max: usize,
    /// Requests that wait at a replica at most.
    pub pending_ops_max: usize,
    /// Keys that a table is made for.
    pub keys_expected: usize,
    /// Sessions that a replica remembers.
    pub sessions_max: usize,
    /// Client numbers are below this.
    pub clients_max: usize,
}

/// A run that goes on longer than any seed.
const AGES_NS: u64 = 1 << 60;

/// Five centuries: half a year before the end of what counts nanoseconds.
const CENTURIES_NS: u64 = u64::MAX - (1 << 54);

/// How a disk gets from one write to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskQueue {
    /// Whether all machines have the same disk.
    pub shared: bool,
    /// For how long a write keeps the next one from beginning, in nanoseconds.
    pub gap_ns: u64,
    /// The same, for each KiB of the write.
    pub kib_ns: u64,
}

/// The way from one machine to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// How long a piece of bytes travels while things go wrong.
    pub latency: Latency,
    /// And always, without loss, once everything has healed.
    pub calm_ns: u64,
    /// Whether frames travel each for itself: then they may be lost, doubled and reordered.
    /// Otherwise bytes come in order, and a partition holds them back, as TCP does.
    pub datagrams: bool,
    /// Frames lost, in a thousand.
    pub loss: u64,
    /// Frames doubled, in a thousand.
    pub duplication: u64,
    /// What a byte takes on a machine's network card, in picoseconds; 0 for nothing.
    pub byte_ps: u64,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at_ns: u64,
    /// What.
    pub action: Action,
    /// To whom.
    pub target: Target,
    /// How long, or after how long a crashed replica comes back.
    pub for_ns: u64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The process ends, with all that it had in memory; its last writes are torn.
    Crash,
    /// The process stands still.
    Pause,
    /// Nothing gets to it and nothing from it, clients included.
    Isolate,
    /// Nothing gets to it from other replicas; what it says is heard.
    Deafen,
    /// Nothing that it says is heard by other replicas; it hears them.
    Mute,
    /// It and the replica after it do not hear each other; all others hear both.
    Separate,
    /// Its processor is a hundred times slower.
    SlowProcessor,
    /// Its disk is a hundred times slower.
    SlowDisk,
    /// Its disk fails after some operations; the process stops itself and is started again.
    FailDisk,
    /// Nothing more fits on its disk; a process that needs more stops itself and is started again.
    FillDisk,
    /// The process ends, and comes back with an empty disk.
    Wipe,
    /// The process ends, and one bit of its log or snapshot is flipped.
    Rot,
    /// The process ends, and a block of its log is found in the place of another one.
    Misdirect,
    /// An administrator asks for it to lead.
    Transfer,
    /// An administrator asks for it to vote.
    Add,
    /// An administrator asks for it to vote no more.
    Remove,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Crash,
        Self::Pause,
        Self::Isolate,
        Self::Deafen,
        Self::Mute,
        Self::Separate,
        Self::SlowProcessor,
        Self::SlowDisk,
        Self::FailDisk,
        Self::FillDisk,
        Self::Wipe,
        Self::Rot,
        Self::Misdirect,
        Self::Transfer,
        Self::Add,
        Self::Remove,
    ];

    /// What an administrator asks for by it, if one does.
    #[must_use]
    pub const fn change(self, replica: ReplicaId) -> Option<Change> {
        match self {
            Self::Transfer => Some(Change::Transfer(replica)),
            Self::Add => Some(Change::Add(replica)),
            Self::Remove => Some(Change::Remove(replica)),
            Self::Crash
            | Self::Pause
            | Self::Isolate
            | Self::Deafen
            | Self::Mute
            | Self::Separate
            | Self::SlowProcessor
            | Self::SlowDisk
            | Self::FailDisk
            | Self::FillDisk
            | Self::Wipe
            | Self::Rot
            | Self::Misdirect => None,
        }
    }

    /// Whether it breaks nothing, but asks for a change as an administrator does.
    pub(super) const fn is_change(self) -> bool {
        matches!(self, Self::Transfer | Self::Add | Self::Remove)
    }

    /// Whether it needs a log.
    const fn needs_log(self) -> bool {
        matches!(self, Self::Crash | Self::FailDisk | Self::FillDisk) || self.forgets()
    }

    /// Whether a replica may lose what it had promised by it.
    #[must_use]
    pub const fn forgets(self) -> bool {
        matches!(self, Self::Wipe | Self::Rot | Self::Misdirect)
    }

    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::Isolate => "isolate",
            Self::Deafen => "deafen",
            Self::Mute => "mute",
            Self::Separate => "separate",
            Self::SlowProcessor => "slow processor",
            Self::SlowDisk => "slow disk",
            Self::FailDisk => "failing disk",
            Self::FillDisk => "full disk",
            Self::Wipe => "wiped disk",
            Self::Rot => "flipped bit",
            Self::Misdirect => "misdirected block",
            Self::Transfer => "transfer",
            Self::Add => "add voter",
            Self::Remove => "remove voter",
        }
    }
}

/// Whom it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads then, or the first.
    Leader,
    /// One that does not lead then, chosen by the seed.
    Follower,
    /// Any, chosen by the seed.
    Any,
    /// This one.
    Replica(u8),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, lasts) = (format_duration(self.at_ns), format_duration(self.for_ns));
        match self.target {
            Target::Leader => write!(f, "at {at}: {} the leader", self.action.name())?,
            Target::Follower => write!(f, "at {at}: {} a follower", self.action.name())?,
            Target::Any => write!(f, "at {at}: {} a replica", self.action.name())?,
            Target::Replica(id) => write!(f, "at {at}: {} replica {id}", self.action.name())?,
        }
        write!(f, " for {lasts}")
    }
}

impl Plan {
    /// What `seed` stands for with the protocol `P`.
    #[must_use]
    pub fn draw<P: Protocol>(seed: u64) -> Self {
        let random = &mut Random::new(seed, Concern::World);
        let replicas = draw_replicas::<P>(random);
        let durable = !chance(random, 15);
        let faults_ns = random.below(20) * SECOND + SECOND;
        // A replica without a log must not come back, so nothing ends it.
        let faults = draw_faults(random, replicas, durable, faults_ns);
        let sync_each = chance(random, 20);
        let plan = Self {
            seed,
            groups: 1,
            replicas,
            observers: 0,
            witnesses: 0,
            parameters: draw_parameters::<P>(random, replicas),
            window: 1 << random.below(7),
            batch_ops_max: 1 << random.below(6),
            linger_ns: if chance(random, 25) { random.below(5 * MS) } else { 0 },
            // From a random number of its own, so that all else is drawn as if it were not.
            objective_ns: if seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0 {
                4 * MS
            } else {
                0
            },
            retain_bytes: 1 << (12 + random.below(9)),
            snapshot_bytes: 1 << (17 + random.below(6)),
            log: durable.then(|| WalLimits {
                segment_bytes: WRITE_BYTES_MAX << random.below(3),
                write_bytes_max: WRITE_BYTES_MAX,
                writes_in_flight: pick(random, &[1, 2, 3, 4]),
            }),
            sync_each,
            limits: Limits {
                frame_bytes_max: FRAME_BYTES_MAX,
                batch_bytes_max: 64 << 10,
                pending_ops_max: pick(random, &[4, 256, 256, 256]),
                keys_expected: 16,
                sessions_max: 64,
                clients_max: 16,
            },
            load: draw_load(random, P::SERVICE),
            phases: Phases { warm_up_ns: 0, measure_ns: AGES_NS, cool_down_ns: 0 },
            faults_ns,
            slowness: 1,
            network: draw_network(random),
            cpu: Cpu {
                turn_ns: 500 + random.below(5_000),
                arrival_ns: 100 + random.below(2_000),
                kib_ns: random.below(1_000),
                command_ns: random.below(2_000),
                ..Cpu::default()
            },
            processors: (0..=usize::from(replicas)).collect(),
            away: None,
            turn_bytes: None,
            disk: Latency::around(pick(random, &[20_000, 100_000, MS, 5 * MS]), random),
            disk_queue: DiskQueue::default(),
            clocks: (0..=replicas).map(|_| draw_clock(random)).collect(),
            faults,
            restarts: true,
        };
        let plan =
            if chance(random, 30) { plan.slowed::<P>(pick(random, &[20, 50, 100])) } else { plan };
        plan.aged()
            .with_patience_for::<P>()
            .ringed::<P>()
            .observed::<P>()
            .witnessed::<P>()
            .changed::<P>()
            .sometimes_a_bank::<P>()
            .sometimes_contended::<P>()
    }

    /// Some clusters have observers. Where they may come to vote see [`Self::changed`].
    fn observed<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x0b5e, Concern::World);
        if P::OBSERVERS && !P::CHANGES && self.replicas > 1 && chance(random, 40) {
            self.observers =
                1 + u8::try_from(random.below(u64::from(self.replicas) / 2)).expect("few");
        }
        self
    }

    /// Some clusters have witnesses.
    fn witnessed<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x317e, Concern::World);
        let most = u64::from(self.replicas - 1) / 2;
        if P::WITNESSES && most > 0 && chance(random, 40) {
            self.witnesses = 1 + u8::try_from(random.below(most)).expect("few");
        }
        self
    }

    /// Where keys may be held by some replicas only, they often are, with others to stand in.
    fn ringed<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x51099, Concern::World);
        let has_copies = P::PARAMETERS.iter().any(|parameter| parameter.name == "copies");
        if !has_copies || self.replicas == 1 || !chance(random, 40) {
            return self;
        }
        let copies = 1 + random.below(u64::from(self.replicas) - 1);
        for (place, parameter) in self.parameters.iter_mut().zip(P::PARAMETERS) {
            match parameter.name {
                "copies" => *place = copies,
                "votes" => *place = 0,
                "read_quorum" | "write_quorum" => *place = random.below(copies + 1),
                "sloppy" => *place = u64::from(chance(random, 70)),
                _ => {}
            }
        }
        self
    }

    /// In half of the runs an administrator changes who leads and who votes, if that can be; and some do
    /// not vote at first. Nobody then forgets what it promised: where two of more vote, and one forgets,
    /// nothing goes on.
    fn changed<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0xc4a6, Concern::World);
        if !P::CHANGES || chance(random, 50) {
            return self;
        }
        self.faults.retain(|fault| !fault.action.forgets());
        let count = 1 + random.below(1 + self.faults_ns / (500 * MS * self.slowness));
        for _ in 0..count {
            let replica = u8::try_from(random.below(self.replicas.into())).expect("few");
            self.faults.push(Fault {
                at_ns: random.below(self.faults_ns),
                action: pick(random, &[Action::Transfer, Action::Add, Action::Remove]),
                target: Target::Replica(replica),
                for_ns: 0,
            });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
        if P::OBSERVERS && chance(random, 40) {
            self.observers = u8::try_from(random.below(self.replicas.into())).expect("few");
        }
        self
    }

    /// Of some plans keys are accounts: from random numbers of its own, so that all else is drawn as
    /// if it were not.
    fn sometimes_a_bank<P: Protocol>(self) -> Self {
        let random = &mut Random::new(self.seed, Concern::Transfers);
        let is_bank = P::SERVICE == Service::Transactions && chance(random, 40);
        if is_bank { self.banking(random) } else { self }
    }

    /// Money moves between a few accounts, which often do not hold enough, and audits add it up.
    pub(super) fn banking(mut self, random: &mut Random) -> Self {
        let accounts = pick(random, &[2, 3, 5]);
        let payees = pick(random, &[1, 1, accounts - 1]);
        let balance = pick(random, &[2, 10, 1_000]);
        let amount = pick(random, &[1, 5, 500]);
        let bank = Bank { accounts, payees, balance, amount, audits: 0.3 };
        self.load.transaction = Transaction::Transfer(bank);
        self.load.mix = Mix { transaction: 1.0, ..Mix::NOTHING };
        self.load.keys.count = u64::from(accounts) * pick(random, &[1, 2]);
        self.load.keys.preload = true;
        self
    }

    /// Of some plans a few keys get most transactions, of more clients that wait less: from random numbers
    /// of its own, so that all else is drawn as if it were not.
    fn sometimes_contended<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x4071, Concern::World);
        if P::SERVICE != Service::Transactions || !chance(random, 40) {
            return self;
        }
        self.load.clients = 8;
        if let Arrival::Closed { think_ns, .. } = &mut self.load.arrival {
            *think_ns = pick(random, &[2, 10]) * MS * self.slowness;
        }
        // Of a bank whole ones.
        self.load.keys.count *= 4;
        self.load.keys.distribution = pick(
            random,
            &[
                KeyDistribution::Zipfian { theta: 0.99 },
                KeyDistribution::HotSet { keys: 0.1, operations: 0.9 },
            ],
        );
        self.limits.keys_expected = 64;
        self
    }

    /// What clients of classic Paxos repeat at another replica is a proposal of its own and takes a
    /// slot of its own. While everyone who is left must answer, a slot takes two writes of all of
    /// them one after the other, and a ballot that a stalling disk holds up may be lost to another.
    /// Clients that gave up within a second would fill the slots with what nobody waits for any more.
    /// Those of transactions may not ask again, and give up when it is time to: their rounds force
    /// many writes, and on slow disks none would be over before.
    fn with_patience_for<P: Protocol>(mut self) -> Self {
        if [Paxos::NAME, PaxosCommit::NAME].contains(&P::NAME) {
            self.load.give_up_ns = self.load.give_up_ns.max(5 * SECOND);
        }
        if P::SERVICE == Service::Transactions {
            self.load.timeout_ns = self.load.timeout_ns.max(SECOND / 2);
        }
        self
    }

    /// Some clusters run on clocks that have run for centuries, near the end of what counts them.
    fn aged(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0xa6ed, Concern::World);
        if chance(random, 6) {
            for clock in &mut self.clocks {
                clock.offset_ns += CENTURIES_NS;
            }
        }
        self
    }

    /// The same in slow motion: as much happens, over hours. What long quiet does to timers, logs
    /// and sessions shows only then.
    fn slowed<P: Protocol>(mut self, times: u64) -> Self {
        self.slowness = times;
        for (place, parameter) in self.parameters.iter_mut().zip(P::PARAMETERS) {
            if parameter.unit == protocol::Unit::Duration {
                // Short of the maximum, so that what fitted together still does.
                *place = (*place).max(place.saturating_mul(times).min(parameter.maximum / 6));
            }
        }
        if let Arrival::Closed { think_ns, .. } = &mut self.load.arrival {
            *think_ns *= times;
        }
        self.load.timeout_ns *= times;
        self.load.give_up_ns *= times;
        self.faults_ns *= times;
        for fault in &mut self.faults {
            fault.at_ns *= times;
            fault.for_ns *= times;
        }
        self
    }
}

impl Plan {
    /// The largest of the protocol's quorums, or a majority.
    #[must_use]
    pub fn quorum_max<P: Protocol>(&self) -> usize {
        // Those without a vote may all be among those that are there.
        let majority = || self.majority::<P>() + usize::from(self.observers);
        self.quorums::<P>().max().unwrap_or_else(majority)
    }

    /// The smallest of the protocol's quorums, or a majority.
    #[must_use]
    pub fn quorum_min<P: Protocol>(&self) -> usize {
        self.quorums::<P>().min().unwrap_or_else(|| self.majority::<P>())
    }

    /// Replicas without which nothing goes on: all that hold keys of their own.
    fn majority<P: Protocol>(&self) -> usize {
        let voters = usize::from(self.replicas - self.observers);
        if P::SERVICE == Service::Transactions { voters } else { voters / 2 + 1 }
    }

    /// A parameter that counts replicas is a quorum. Where replicas have votes, it counts those, and
    /// 0 is a majority of them: then a quorum is as small as it can be, and as large as it must be. Where
    /// some hold a key, all others may be there and of no use, but for sloppy quorums.
    fn quorums<P: Protocol>(&self) -> impl Iterator<Item = usize> {
        let replicas = usize::from(self.replicas);
        let value = |name| {
            let place = P::PARAMETERS.iter().position(|parameter| parameter.name == name);
            place.map(|place| self.parameters[place])
        };
        let votes = value("votes")
            .map(|digits| Votes::read(digits, replicas).expect("the parameters fit together"));
        let copies = value("copies").filter(|&copies| copies > 0);
        let is_sloppy = value("sloppy") == Some(1);
        P::PARAMETERS
            .iter()
            .zip(self.parameters)
            .filter(|(parameter, _)| parameter.unit == protocol::Unit::Count)
            .filter(|(parameter, _)| parameter.name.ends_with("quorum"))
            .flat_map(move |(_, value)| match votes {
                None => [usize::try_from(value).expect("few"); 2],
                Some(votes) => {
                    let total = copies.unwrap_or_else(|| votes.total());
                    let needed = if value == 0 { total / 2 + 1 } else { value };
                    let (fewest, most) = votes.replicas(replicas, needed);
                    let useless = copies
                        .filter(|_| !is_sloppy)
                        .map_or(0, |copies| replicas - usize::try_from(copies).expect("few"));
                    [fewest, most + useless]
                }
            })
    }
}

fn chance(random: &mut Random, percent: u64) -> bool {
    random.below(100) < percent
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[usize::try_from(random.below(from.len() as u64)).expect("a few")]
}

fn draw_replicas<P: Protocol>(random: &mut Random) -> u8 {
    let drawn = pick(random, &[1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7]);
    drawn.min(u8::try_from(P::REPLICAS_MAX).expect("few"))
}

/// The defaults, often with other timeouts and other quorums that still fit together.
fn draw_parameters<P: Protocol>(random: &mut Random, replicas: u8) -> [u64; PARAMETERS_MAX] {
    // Of which a majority goes on.
    let faults_max = u64::from((replicas - 1) / 2);
    loop {
        let mut parameters = [0; PARAMETERS_MAX];
        for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
            let default = match parameter.default {
                protocol::Default::Fixed(value) => value,
                protocol::Default::Majority => u64::from(replicas / 2 + 1),
            };
            if ["copies", "sloppy"].contains(&parameter.name) {
                // They are drawn together, apart from all others.
                continue;
            }
            let other = match parameter.unit {
                protocol::Unit::Duration => default / 4 + random.below(2 * default),
                protocol::Unit::Count if parameter.name == "votes" => {
                    // The first replica has some, so that there are as many digits as replicas.
                    (1..replicas).fold(1 + random.below(3), |votes, _| votes * 10 + random.below(4))
                }
                protocol::Unit::Count if parameter.name == "faults" => random.below(faults_max + 1),
                protocol::Unit::Count => 1 + random.below(u64::from(replicas)),
                protocol::Unit::Flag => random.below(2),
                protocol::Unit::Choice(options) => random.below(options.len() as u64),
            };
            let default =
                if parameter.name == "faults" { default.min(faults_max) } else { default };
            let drawn = if chance(random, 30) { other } else { default };
            // Without random waits proposers may stop each other for ever, and progress is asked for.
            // Who votes at first is drawn with the changes of it.
            let drawn = match parameter.name {
                "randomised_backoff" => default,
                _ => drawn,
            };
            *place = drawn.clamp(parameter.minimum, parameter.maximum);
        }
        let count = P::PARAMETERS.len();
        if P::validate(usize::from(replicas), &parameters[..count]).is_ok() {
            return parameters;
        }
    }
}

fn draw_load(random: &mut Random, service: Service) -> Load {
    // No keys in all but for transactions, so that other loads are drawn as if there were none.
    let transaction = if service == Service::Transactions {
        let (reads, writes) = (pick(random, &[0, 1, 1]), pick(random, &[1, 1, 2, 3]));
        Transaction::ReadWrite { reads, writes }
    } else {
        Transaction::ReadWrite { reads: 0, writes: 1 }
    };
    Load {
        threads: 1,
        connections: pick(random, &[1, 2, 3]),
        clients: pick(random, &[1, 2, 4, 8]),
        arrival: Arrival::Closed {
            outstanding: 1,
            think_ns: pick(random, &[1, 10, 20, 40, 100]) * MS + MS,
        },
        mix: draw_mix(random, service),
        transaction,
        keys: Keys {
            count: pick(random, &[1, 2, 5, 12]).max(transaction.keys()),
            first: 0,
            preload: false,
            distribution: KeyDistribution::Uniform,
        },
        values: Values::Fixed(pick(random, &[8, 8, 40, 100, 2_000])),
        timeout_ns: pick(random, &[50, 200, 1_000]) * MS,
        give_up_ns: pick(random, &[1, 5, 20]) * SECOND,
        sample_every: 0,
    }
}

/// Some operations of those that the service has. A key is either a register or a counter, so
/// additions go with gets alone.
fn draw_mix(random: &mut Random, service: Service) -> Mix {
    let share =
        |random: &mut Random, of: u64| if chance(random, 60) { random.below(of) } else { 0 };
    let machine = service == Service::StateMachine;
    let get = 1 + share(random, 10);
    let (mut put, mut delete, mut add) = (1 + share(random, 10), share(random, 3), 0);
    let mut compare_and_swap = if machine { share(random, 5) } else { 0 };
    let mut read_modify_write = share(random, 3);
    if machine && chance(random, 15) {
        (put, delete, compare_and_swap, read_modify_write) = (0, 0, 0, 0);
        add = 1 + random.below(10);
    }
    let transactional = service == Service::Transactions;
    let transaction = if transactional { 1 + random.below(20) } else { 0 };
    let all = real(get + put + delete + compare_and_swap + add + read_modify_write + transaction);
    Mix {
        get: real(get) / all,
        put: real(put) / all,
        insert: 0.0,
        delete: real(delete) / all,
        compare_and_swap: real(compare_and_swap) / all,
        add: real(add) / all,
        read_modify_write: real(read_modify_write) / all,
        transaction: real(transaction) / all,
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn real(count: u64) -> f64 {
    count as f64
}

fn draw_network(random: &mut Random) -> Network {
    // Ten round trips fit the shortest time-out of clients and of elections.
    let calm_ns = pick(random, &[20_000, 100_000, MS, 2 * MS]);
    let datagrams = chance(random, 50);
    let rate = |random: &mut Random| {
        if datagrams && chance(random, 50) { random.below(100) } else { 0 }
    };
    Network {
        latency: Latency::around(calm_ns, random),
        calm_ns,
        datagrams,
        loss: rate(random),
        duplication: rate(random),
        byte_ps: pick(random, &[0, 0, 1_000, 20_000]),
    }
}

fn draw_clock(random: &mut Random) -> Clock {
    let drifts = chance(random, 50);
    Clock {
        offset_ns: random.below(1_000 * SECOND),
        drift_ppm: if drifts {
            i64::try_from(random.below(2_001)).expect("small") - 1_000
        } else {
            0
        },
    }
}

fn draw_faults(random: &mut Random, replicas: u8, durable: bool, faults_ns: u64) -> Vec<Fault> {
    let wanted: Vec<Action> = Action::ALL
        .into_iter()
        .filter(|action| !action.is_change())
        .filter(|action| durable || !action.needs_log())
        .filter(|_| chance(random, 40))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let count = random.below(1 + faults_ns / (500 * MS));
    let lasts_ns = pick(random, &[50, 300, 2_000]) * MS;
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| Fault {
            at_ns: random.below(faults_ns),
            action: pick(random, &wanted),
            target: if chance(random, 40) {
                Target::Leader
            } else {
                Target::Replica(u8::try_from(random.below(replicas.into())).expect("few"))
            },
            for_ns: 1 + random.below(lasts_ns),
        })
        .collect();
    faults.sort_by_key(|fault| fault.at_ns);
    faults
}
