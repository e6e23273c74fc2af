//! What one seed stands for: the group, the faults and the load.

use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{Config, PARAMETERS_MAX, Protocol, Service, Unit};
use synod_protocols::quorum::{Quorum, votes::Votes};
use synod_protocols::raft::Raft;
use synod_protocols::types::ReplicaId;
use synod_protocols::viewstamped::Viewstamped;

use crate::mutation::Mutation;
use crate::random::Random;

/// One microsecond.
pub(crate) const MICROSECOND: u64 = 1_000;
/// One millisecond.
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// What goes wrong, apart from the network's and the disk's ordinary ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Faults {
    /// Crashes, partitions and checkpoints in any order.
    Mixed,
    /// Who hears whom is drawn again and again, and replicas crash but come back at once. One
    /// disk is far slower than the others.
    Partitions,
    /// Only one replica hears all others, and it crashes again and again.
    Flapping,
    /// Whoever leads is cut off, alone or with some of the others, often as it begins.
    Isolation,
    /// As with partitions, and now and then a replica loses its disk, one at a time.
    Losses,
    /// Replica 1 hears the first and the last of three by turns, and may lose its disk as it turns.
    Forgetting,
}

/// Everything that is drawn before the first step.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) replicas: usize,
    pub(crate) observers: usize,
    pub(crate) witnesses: usize,
    pub(crate) window: usize,
    pub(crate) retain_bytes: u64,
    pub(crate) parameters: [u64; PARAMETERS_MAX],
    pub(crate) batch_commands_max: usize,
    pub(crate) clients: u32,
    pub(crate) operations: usize,
    pub(crate) keys: u64,
    /// Keys are accounts: transactions open them, move money, and audit.
    pub(crate) is_bank: bool,
    /// Whether clients mostly get, and ask whomever for that.
    pub(crate) roaming: bool,
    /// How long clients wait for an answer at first.
    pub(crate) patience_ns: u64,
    pub(crate) loss_percent: u64,
    pub(crate) twice_percent: u64,
    pub(crate) network_ns_max: u64,
    /// How late the second of two copies may be, if later than that.
    pub(crate) straggler_ns_max: u64,
    pub(crate) disk_ns_max: u64,
    /// How much slower than real time one clock runs, and the others faster, in parts of a million.
    pub(crate) drift_ppm: u64,
    /// How often a replica that comes and goes takes a checkpoint instead.
    pub(crate) checkpoint_percent: u64,
    /// How many writes to a disk a crash cuts short, after which the replica comes back at once.
    pub(crate) cut_percent: u64,
    /// Zab: whether its oracle names another replica in each round, whatever that has, until all heals.
    pub(crate) any_oracle: bool,
    pub(crate) faults: Faults,
    pub(crate) faults_every_ns: u64,
    /// How often an administrator changes who leads or who votes; 0 for never.
    pub(crate) changes_every_ns: u64,
    /// How many of these changes are of who leads.
    pub(crate) transfers_percent: u64,
    /// How long faults last; then everything heals.
    pub(crate) faults_ns: u64,
    pub(crate) mutation: Option<Mutation>,
}

impl Plan {
    pub(crate) fn draw<P: Protocol>(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let replicas =
            if P::NAME == "unreplicated" { 1 } else { random.pick(&[1, 2, 3, 3, 3, 4, 5, 5]) };
        let plan = Self {
            seed,
            replicas,
            observers: 0,
            witnesses: 0,
            window: random.pick(&[1, 2, 4, 16]),
            retain_bytes: random.pick(&[0, 100, 400, 2_000, 1_000_000]),
            parameters: parameters::<P>(replicas, random),
            batch_commands_max: random.pick(&[1, 1, 2, 8]),
            clients: u32::try_from(random.between(1, 5)).expect("a few"),
            operations: random.pick(&[8, 8, 12, 20]),
            keys: random.between(1, 4),
            is_bank: false,
            roaming: false,
            patience_ns: 8 * MILLISECOND,
            loss_percent: random.pick(&[0, 0, 2, 10, 25]),
            twice_percent: random.pick(&[0, 5, 20]),
            network_ns_max: random.pick(&[50 * MICROSECOND, 300 * MICROSECOND, 2 * MILLISECOND]),
            straggler_ns_max: 0,
            disk_ns_max: random.pick(&[10 * MICROSECOND, 300 * MICROSECOND, 3 * MILLISECOND]),
            drift_ppm: 0,
            checkpoint_percent: 20,
            cut_percent: 0,
            any_oracle: false,
            faults: Faults::Mixed,
            faults_every_ns: random.pick(&[MILLISECOND, 3 * MILLISECOND, 10 * MILLISECOND]),
            faults_ns: random.between(5, 80) * MILLISECOND,
            changes_every_ns: 0,
            transfers_percent: 50,
            mutation: None,
        };
        plan.shaped::<P>()
            .reading::<P>()
            .transacting::<P>()
            .ringed::<P>(40)
            .observed::<P>(40)
            .witnessed::<P>(40)
            .changing::<P>()
    }

    /// Some groups have observers. Where they may come to vote see [`Self::changing`].
    pub(crate) fn observed<P: Protocol>(mut self, percent: u64) -> Self {
        let random = &mut Random::new(self.seed ^ 0x0b5e);
        if P::OBSERVERS && !P::CHANGES && self.replicas > 1 && random.percent(percent) {
            self.observers =
                usize::try_from(random.between(1, self.replicas as u64 / 2)).expect("a few");
        }
        self
    }

    /// Some groups have witnesses.
    pub(crate) fn witnessed<P: Protocol>(mut self, percent: u64) -> Self {
        let random = &mut Random::new(self.seed ^ 0x317e);
        let most = (self.replicas as u64 - 1) / 2;
        if P::WITNESSES && most > 0 && random.percent(percent) {
            self.witnesses = usize::try_from(random.between(1, most)).expect("a few");
        }
        self
    }

    /// Leaders and members of some groups are changed on purpose.
    fn changing<P: Protocol>(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0xc4a6);
        if P::CHANGES && random.percent(60) {
            self.changes_every_ns = random.pick(&[2, 5, 15]) * MILLISECOND;
            self.teach(random);
        }
        self
    }

    /// Quorum: some groups hold each key on a few replicas only, most often with others to stand in.
    fn ringed<P: Protocol>(mut self, percent: u64) -> Self {
        let random = &mut Random::new(self.seed ^ 0x51099);
        if P::NAME != Quorum::NAME || self.replicas == 1 || !random.percent(percent) {
            return self;
        }
        let copies = random.between(1, self.replicas as u64 - 1);
        let parameters = &mut self.parameters;
        for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
            match parameter.name {
                "copies" => *place = copies,
                "votes" => *place = 0,
                "read_quorum" | "write_quorum" => *place = random.below(copies + 1),
                "sloppy" => *place = u64::from(random.percent(70)),
                _ => {}
            }
        }
        Quorum::validate(self.replicas, parameters).expect("they fit");
        self
    }

    /// Quorum: sloppy quorums, whose writes one replica alone can take, and read repair. There are so
    /// many keys that later writes of the same seldom hide what became of a hint.
    pub(crate) fn sloppy(mut self) -> Self {
        self.replicas = self.replicas.max(2);
        self.keys = 40;
        let ones = [("sloppy", 1), ("read_repair", 1), ("write_quorum", 1)];
        self.ringed::<Quorum>(100).with::<Quorum>(&ones)
    }

    /// Other values of those of these parameters that the protocol has.
    fn with<P: Protocol>(mut self, values: &[(&str, u64)]) -> Self {
        for (place, parameter) in self.parameters.iter_mut().zip(P::PARAMETERS) {
            if let Some(&(_, value)) = values.iter().find(|(name, _)| *name == parameter.name) {
                *place = value;
            }
        }
        self
    }

    /// Replicas lose their disks, under much load; who votes does not change then.
    pub(crate) fn losing<P: Protocol>(self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x1055);
        let plan = Self {
            observers: 0,
            witnesses: 0,
            changes_every_ns: 0,
            twice_percent: 20,
            network_ns_max: random.pick(&[50 * MICROSECOND, 300 * MICROSECOND]),
            disk_ns_max: random.pick(&[50 * MICROSECOND, 300 * MICROSECOND]),
            faults: Faults::Losses,
            faults_every_ns: random.pick(&[MILLISECOND, 3 * MILLISECOND]),
            ..self.crowded::<P>(random.pick(&[3, 3, 5]), random)
        };
        plan.with_majorities::<P>()
    }

    /// Viewstamped: the same, of the one replica that two others need. It stays with either until a view
    /// has begun, and is back before the primary of the view before stands down.
    pub(crate) fn forgetting(self) -> Self {
        Self {
            replicas: 3,
            loss_percent: 0,
            faults: Faults::Forgetting,
            faults_every_ns: 8 * MILLISECOND,
            ..self.losing::<Viewstamped>()
        }
    }

    /// What one replica alone decides is lost with its disk. Read repair would hide what is lost with others.
    fn with_majorities<P: Protocol>(self) -> Self {
        let majority = self.replicas as u64 / 2 + 1;
        self.with::<P>(&[
            ("phase1_quorum", majority),
            ("phase2_quorum", majority),
            // For these 0 is a majority, and a vote for each.
            ("read_quorum", 0),
            ("write_quorum", 0),
            ("votes", 0),
            ("read_repair", 0),
            ("query", 1),
        ])
    }

    /// Whoever leads is cut off, alone or with some of the others, again and again, and has much to propose.
    pub(crate) fn isolating(self, replicas: usize) -> Self {
        Self {
            replicas,
            observers: 0,
            witnesses: 0,
            window: 16,
            batch_commands_max: 1,
            clients: 5,
            operations: 100,
            keys: 20,
            patience_ns: 2 * MILLISECOND,
            loss_percent: 0,
            network_ns_max: 300 * MICROSECOND,
            straggler_ns_max: 0,
            disk_ns_max: 50 * MICROSECOND,
            faults: Faults::Isolation,
            faults_every_ns: 8 * MILLISECOND,
            faults_ns: 500 * MILLISECOND,
            ..self
        }
    }

    /// Raft: the same, and on each side an administrator goes on and on to let those vote whom it hears.
    /// Majorities of an odd number of voters and of one two changes away need not meet, nor those of two
    /// neighbours of an even number.
    pub(crate) fn split(self, replicas: usize) -> Self {
        let changes_every_ns = MILLISECOND / 10;
        Self { changes_every_ns, transfers_percent: 0, ..self.isolating(replicas) }
    }

    /// Raft: gets are answered after a round of heartbeats, by leaders that are cut off and do not resign.
    /// Heartbeats are so rare that followers know late what is committed.
    pub(crate) fn reading_apart(self) -> Self {
        let plan = Self {
            clients: 8,
            operations: 40,
            keys: 4,
            roaming: true,
            faults_every_ns: 10 * MILLISECOND,
            faults_ns: 300 * MILLISECOND,
            changes_every_ns: 0,
            ..self.isolating(3).reading_by::<Raft>(1)
        };
        plan.with::<Raft>(&[
            ("heartbeat", 4 * MILLISECOND),
            ("election_timeout", 10 * MILLISECOND),
            ("check_quorum", 0),
        ])
    }

    /// Raft: gets are answered under a lease, and one clock is as slow, the others as fast as it was told.
    pub(crate) fn drifting(self) -> Self {
        let drift_ppm = 100_000;
        let plan = Self { drift_ppm, ..self.reading_by::<Raft>(2) };
        plan.with::<Raft>(&[("election_timeout", 20 * MILLISECOND), ("clock_drift", drift_ppm)])
    }

    /// Raft: the same, with leaders that are cut off and clients that roam. Who has the slow clock is too
    /// late to be elected by itself, but is asked to lead.
    pub(crate) fn drifting_apart(self) -> Self {
        let plan = Self {
            operations: 200,
            keys: 20,
            changes_every_ns: 30 * MILLISECOND,
            transfers_percent: 100,
            faults_every_ns: 20 * MILLISECOND,
            faults_ns: 600 * MILLISECOND,
            ..self.reading_apart().drifting()
        };
        plan.with::<Raft>(&[("heartbeat", MILLISECOND), ("election_timeout", 40 * MILLISECOND)])
    }

    /// Changes as often as can be, if there is anybody to hand over to.
    pub(crate) fn changing_often(mut self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x0f7e);
        self.changes_every_ns = 2 * MILLISECOND;
        self.teach(random);
        self
    }

    /// Some replicas do not vote at first.
    fn teach(&mut self, random: &mut Random) {
        if random.percent(50) {
            self.observers = usize::try_from(random.below(self.replicas as u64)).expect("a few");
        }
    }

    /// All transactions are checked together, which only so many can be; replicas need each other, so
    /// that they must not wait for long.
    fn transacting<P: Protocol>(mut self) -> Self {
        if P::SERVICE != Service::Transactions {
            return self;
        }
        self.operations = self.operations.min(12);
        if Random::new(self.seed ^ 0x407).percent(20) {
            self = self.contended();
        }
        if Random::new(self.seed ^ 0xba2c).percent(40) { self.banking() } else { self }
    }

    /// So many clients ask for so few keys that most transactions meet a lock.
    pub(crate) fn contended(self) -> Self {
        Self { clients: 8, operations: 12, keys: 2, ..self }
    }

    /// Money moves between keys.
    pub(crate) fn banking(self) -> Self {
        Self { is_bank: true, keys: self.keys.max(2), ..self }
    }

    /// Two-Phase Commit: power fails in the middle of many writes, also of the first of a life. What was said
    /// meanwhile has long arrived, and many clients want something at once.
    pub(crate) fn cut_short(self) -> Self {
        Self {
            replicas: 2,
            clients: 16,
            operations: 16,
            keys: 30,
            patience_ns: 3 * MILLISECOND,
            disk_ns_max: 3 * MILLISECOND,
            cut_percent: 40,
            faults_every_ns: 20 * MILLISECOND,
            ..self.beginning()
        }
    }

    /// Paxos Commit: one replica has a far slower disk than the others, and crashes again and again before
    /// anything is on it.
    pub(crate) fn outrunning_disk(self) -> Self {
        let plan = Self {
            replicas: 3,
            clients: 16,
            operations: 20,
            keys: 6,
            patience_ns: MILLISECOND / 2,
            disk_ns_max: 300 * MICROSECOND,
            faults: Faults::Partitions,
            faults_every_ns: 2 * MILLISECOND,
            ..self.beginning()
        };
        plan.with::<PaxosCommit>(&[("faults", 1)])
    }

    /// Rounds of one transaction, so that the first of two lives have much the same, and a fast network.
    fn beginning(self) -> Self {
        Self {
            window: 1,
            batch_commands_max: 1,
            loss_percent: 0,
            network_ns_max: 50 * MICROSECOND,
            faults_ns: 200 * MILLISECOND,
            ..self
        }
    }

    /// Paxos Commit: an acceptor that comes and goes often takes checkpoints, while many take rounds over.
    pub(crate) fn checkpointing(self) -> Self {
        let (operations, keys, patience_ns) = (20, 12, MILLISECOND);
        Self { operations, keys, patience_ns, checkpoint_percent: 40, ..self.impatient() }
    }

    /// Paxos Commit: resource managers take rounds over at once, which as many acceptors as possible see.
    pub(crate) fn impatient(self) -> Self {
        let faults = (self.replicas as u64 - 1) / 2;
        self.with::<PaxosCommit>(&[("takeover_timeout", MILLISECOND), ("faults", faults)])
    }

    /// Some groups answer gets without their log.
    fn reading<P: Protocol>(self) -> Self {
        let random = &mut Random::new(self.seed ^ 0x7ead);
        let reads = P::PARAMETERS.iter().find(|parameter| parameter.name == "reads");
        match reads.map(|reads| reads.unit) {
            Some(Unit::Choice(ways)) if random.percent(40) => {
                self.reading_by::<P>(random.below(ways.len() as u64))
            }
            _ => self,
        }
    }

    /// The same, with gets answered in one way.
    pub(crate) fn reading_by<P: Protocol>(mut self, way: u64) -> Self {
        let place = |name| P::PARAMETERS.iter().position(|parameter| parameter.name == name);
        if let Some(reads) = place("reads") {
            self.parameters[reads] = way;
            if let (Some(timeout), Some(_)) = (place("election_timeout"), place("clock_drift")) {
                // A lease needs a time-out that outlasts a turn.
                self.parameters[timeout] = 12 * MILLISECOND;
            }
            if let Some(check_quorum) = place("check_quorum")
                && P::validate(self.replicas, &self.parameters).is_err()
            {
                // A lease needs loyal followers.
                self.parameters[check_quorum] = 1;
            }
        }
        self
    }

    /// Most seeds aim at what independent draws seldom bring together.
    fn shaped<P: Protocol>(self) -> Self {
        let random = &mut Random::new(!self.seed);
        match self.seed % 8 {
            // A slow disk and many crashes: what leaves too early is lost.
            1 | 7 => Self {
                network_ns_max: 50 * MICROSECOND,
                disk_ns_max: 3 * MILLISECOND,
                faults_every_ns: MILLISECOND,
                ..self
            },
            // Old leaders and half-finished writes, which many clients get to see.
            0 | 2 | 4 => Self {
                retain_bytes: random.pick(&[0, 400, 2_000]),
                loss_percent: random.pick(&[2, 10, 25]),
                twice_percent: 90,
                network_ns_max: random.pick(&[300 * MICROSECOND, 2 * MILLISECOND]),
                disk_ns_max: 300 * MICROSECOND,
                faults: Faults::Partitions,
                faults_every_ns: random.pick(&[2 * MILLISECOND, 5 * MILLISECOND]),
                ..self.crowded::<P>(random.pick(&[3, 5]), random)
            },
            // Quorums meet in one replica, which must not forget.
            3 | 5 => Self {
                network_ns_max: 50 * MICROSECOND,
                disk_ns_max: MILLISECOND,
                loss_percent: 0,
                faults: Faults::Flapping,
                faults_every_ns: MILLISECOND,
                ..self.crowded::<P>(3, random)
            },
            // What was said in terms long gone is heard now.
            _ => Self {
                twice_percent: 90,
                network_ns_max: 300 * MICROSECOND,
                straggler_ns_max: 40 * MILLISECOND,
                disk_ns_max: 300 * MICROSECOND,
                faults: Faults::Partitions,
                faults_every_ns: 5 * MILLISECOND,
                ..self.crowded::<P>(3, random)
            },
        }
    }

    /// Many impatient clients of few keys.
    fn crowded<P: Protocol>(self, replicas: usize, random: &mut Random) -> Self {
        let replicas = if P::NAME == "unreplicated" { 1 } else { replicas };
        Self {
            replicas,
            parameters: parameters::<P>(replicas, random),
            clients: 5,
            operations: 60,
            keys: 4,
            patience_ns: random.pick(&[2 * MILLISECOND, 6 * MILLISECOND]),
            faults_ns: 300 * MILLISECOND,
            ..self
        }
    }

    /// Whether a replica, by its number, executes nothing.
    pub(crate) const fn is_witness(&self, replica: usize) -> bool {
        replica + self.witnesses >= self.replicas
    }

    pub(crate) fn config(&self, id: ReplicaId) -> Config {
        let Self { replicas, observers, window, retain_bytes, parameters, .. } = *self;
        let is_mistaken =
            self.mutation == Some(Mutation::TakesItselfForActive) && self.is_witness(id.index());
        let witnesses = if is_mistaken { 0 } else { self.witnesses };
        let lost = false;
        let log_records = usize::MAX;
        Config {
            id,
            replicas,
            observers,
            witnesses,
            window,
            retain_bytes,
            log_records,
            parameters,
            lost,
        }
    }
}

/// Short time-outs, and quorums of any two sizes that meet.
fn parameters<P: Protocol>(replicas: usize, random: &mut Random) -> [u64; PARAMETERS_MAX] {
    if P::NAME == Quorum::NAME {
        return quorums_of_votes(replicas, random);
    }
    let mut parameters = [0; PARAMETERS_MAX];
    let replicas = replicas as u64;
    let phase1_quorum =
        if random.percent(60) { replicas / 2 + 1 } else { random.between(1, replicas) };
    for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
        *place = match parameter.name {
            "heartbeat" | "retry" | "backoff" => MILLISECOND,
            "patience" => 20 * MILLISECOND,
            "randomised_backoff" => 1,
            "election_timeout" => 6 * MILLISECOND,
            "pre_vote" | "check_quorum" => u64::from(random.percent(70)),
            "vote_timeout" => random.pick(&[10, 20]) * MILLISECOND,
            "takeover_timeout" => random.pick(&[3, 3, 5, 8]) * MILLISECOND,
            "faults" if random.percent(75) => (replicas - 1) / 2,
            "faults" => random.below(replicas.div_ceil(2)),
            "faster" => random.below(2),
            "view_change_timeout" => 6 * MILLISECOND,
            "piggyback_commits" => random.below(2),
            "phase1_quorum" => phase1_quorum,
            "phase2_quorum" => replicas + 1 - phase1_quorum,
            "reads" => 0,
            "clock_drift" => 1_000,
            name => panic!("the tests do not know the parameter {name}"),
        };
    }
    P::validate(usize::try_from(replicas).expect("a few"), &parameters).expect("they fit");
    parameters
}

/// Votes and quorums of every kind: that meet or not, of one vote or of all.
fn quorums_of_votes(replicas: usize, random: &mut Random) -> [u64; PARAMETERS_MAX] {
    let mut parameters = [0; PARAMETERS_MAX];
    if random.percent(30) {
        // Whoever comes first has a vote.
        parameters[3] = random.between(1, 3);
        for _ in 1..replicas {
            parameters[3] = parameters[3] * 10 + random.below(4);
        }
    }
    let votes = Votes::read(parameters[3], replicas).expect("a digit for each").total();
    parameters[0] = MILLISECOND;
    if random.percent(50) {
        parameters[1] = random.between(1, votes);
        let meets = random.percent(60);
        parameters[2] = if meets { votes + 1 - parameters[1] } else { random.between(1, votes) };
    }
    for flag in &mut parameters[4..7] {
        *flag = u64::from(random.percent(75));
    }
    Quorum::validate(replicas, &parameters).expect("they fit");
    parameters
}
