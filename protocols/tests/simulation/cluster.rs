//! A group of replicas and its clients in virtual time, from one seed.

use std::collections::BTreeMap;
use std::rc::Rc;

use synod_protocols::command::{Command, Op, SEQUENCE_MAX, SessionId};
use synod_protocols::protocol::{Change, Consistency, Input, Protocol, Service};
use synod_protocols::raft::Raft;
use synod_protocols::types::{REPLICAS_MAX, ReplicaId, Replicas, Slot};

use crate::bank;
use crate::clients::{Clients, Send};
use crate::disk::Disk;
use crate::election_safety::ElectionSafety;
use crate::holders::Holders;
use crate::mutation::Mutation;
use crate::plan::{Faults, MICROSECOND, MILLISECOND, Plan};
use crate::random::Random;
use crate::replica::{Answer, CLOCK_RATE, Life, Output, Packet, Replica};
use crate::weaker;

/// Operations that every client must finish after the faults end.
const OPERATIONS_AFTER: usize = 3;
/// How long that may take.
const PROGRESS_NS_MAX: u64 = 600 * MILLISECOND;
/// How long the replicas may then take to agree.
const SETTLE_NS_MAX: u64 = 200 * MILLISECOND;
/// How often each key is then read, and how long that may take, with what it mends. A read repairs
/// what is told within its coordinator's time-out, which is shorter here than the way through the
/// network.
const READS_OF_EACH: u32 = 400;
const READ_NS: u64 = 10 * MILLISECOND;

/// The first byte of `Accept` of classic Paxos.
const ACCEPT_OF_PAXOS: u8 = 3;
/// The kind of [`synod_protocols::raft::Message::TimeoutNow`].
const TIMEOUT_NOW_OF_RAFT: u8 = 11;
/// Those of `Phase2b`, `Commit` and `Abort` of Paxos Commit.
const ACCEPTED_OF_PAXOS_COMMIT: u8 = 6;
const COMMIT_OF_PAXOS_COMMIT: u8 = 7;
const ABORT_OF_PAXOS_COMMIT: u8 = 8;

/// How many times slower the one slow disk is.
const SLOW_DISK: u64 = 40;

enum Event {
    Packet { from: ReplicaId, to: ReplicaId, packet: Packet },
    Request { to: usize, command: Vec<u8> },
    Answer(Answer),
    Timeout { replica: usize, life: u64 },
    Flushed { replica: usize, life: u64 },
    PowerFails { replica: usize, life: u64 },
    ClientBegins { client: usize },
    ClientTimeout { client: usize, attempt: u64 },
    Fault,
    Change,
}

/// What a run did, for those who look whether it was worth anything.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Summary {
    pub(crate) steps: u64,
    pub(crate) finished: usize,
    pub(crate) unknown: usize,
    pub(crate) crashes: u64,
    pub(crate) snapshots: u64,
    pub(crate) checkpoints: u64,
    /// Hints that were handed off by those who live in the end.
    pub(crate) handoffs: u64,
    /// Messages that asked somebody to lead, and entries that changed who votes.
    pub(crate) transfers: u64,
    pub(crate) changes: u64,
    /// From the end of the faults until every client was done.
    pub(crate) recovery_ns: u64,
}

pub(crate) struct Cluster<P: Protocol> {
    plan: Plan,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    random: Random,
    /// Draws what an administrator asks for.
    changes: Random,
    pub(crate) replicas: Vec<Replica<P>>,
    /// When each replica's next timeout is scheduled.
    alarms: Vec<Option<u64>>,
    clients: Clients,
    /// Whether what one replica sends reaches another.
    links: [[bool; REPLICAS_MAX]; REPLICAS_MAX],
    faulty: bool,
    /// What was committed for each slot, by whoever was first.
    committed: BTreeMap<Slot, Rc<[u8]>>,
    /// Classic Paxos: what was asked votes for first, by the slot and ballot in the message.
    proposed: BTreeMap<Vec<u8>, Rc<[u8]>>,
    /// Raft: what must hold of all servers together.
    elections: ElectionSafety,
    summary: Summary,
}

/// What is said of replicas that should hold the same, and do not.
const UNLIKE: &str = "the replicas did not come to hold the same";

/// Runs a seed's plan to its end and checks everything.
pub(crate) fn run<P: Protocol>(plan: &Plan) -> Result<Summary, String> {
    let mut cluster = Cluster::<P>::new(plan.clone());
    cluster.begin();
    cluster.run_until(plan.faults_ns, |_| false);
    cluster.heal();
    if !cluster.run_until(cluster.now + PROGRESS_NS_MAX, |cluster| cluster.clients.done()) {
        return Err("no progress after all faults were healed".into());
    }
    cluster.summary.recovery_ns = cluster.now - plan.faults_ns;
    if !cluster.run_until(cluster.now + SETTLE_NS_MAX, Cluster::settled) {
        return Err(UNLIKE.into());
    }
    if Holders::of::<P>(plan).is_some_and(|holders| !cluster.converges(&holders)) {
        return Err(UNLIKE.into());
    }
    cluster.summary.handoffs = cluster.living().map(|life| life.protocol.hints().handed_off).sum();
    if let Some(Mutation::Records(damage)) = plan.mutation {
        damage.apply(&mut cluster.clients.history, &mut cluster.random);
    }
    let promise = match plan.mutation {
        Some(Mutation::PromisesTooMuch) => Consistency::Linearizable,
        Some(_) | None => P::consistency(plan.replicas, &plan.parameters),
    };
    if plan.is_bank {
        bank::check(&cluster.clients.history)?;
    }
    weaker::check(&cluster.clients.history, promise)?;
    let ended = cluster.clients.history.iter().filter(|operation| operation.ended.is_some());
    cluster.summary.finished = ended.count();
    cluster.summary.transfers = cluster.elections.transfers;
    cluster.summary.changes = cluster.elections.changes_seen();
    cluster.summary.unknown = cluster.clients.history.len() - cluster.summary.finished;
    Ok(cluster.summary)
}

impl<P: Protocol> Cluster<P> {
    pub(crate) fn new(mut plan: Plan) -> Self {
        P::validate(plan.replicas, &plan.parameters).expect("a plan is of what may be configured");
        break_assumptions(&mut plan);
        let slow = Random::new(plan.seed ^ 0xd21f).below(plan.replicas as u64);
        let mut random = Random::new(plan.seed ^ 0x5eed);
        let ids = (0..u8::try_from(plan.replicas).expect("a few")).map(ReplicaId);
        let replicas: Vec<_> = ids
            .map(|id| Replica {
                config: plan.config(id),
                disk: Disk::default(),
                lives: 0,
                life: None,
                whole_at: None,
                random: Random::new(random.next()),
                mutation: plan.mutation,
                any_oracle: plan.any_oracle,
                clock_ahead_ns: random.below(1_000 * MILLISECOND),
                clock_rate: if u64::from(id.0) == slow {
                    CLOCK_RATE - plan.drift_ppm
                } else {
                    CLOCK_RATE + plan.drift_ppm
                },
                batch_commands_max: plan.batch_commands_max,
            })
            .collect();
        Self {
            now: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            random,
            changes: Random::new(plan.seed ^ 0xad31),
            alarms: vec![None; replicas.len()],
            replicas,
            clients: Clients::new(&plan, P::SERVICE, P::reads(&plan.parameters)),
            links: [[true; REPLICAS_MAX]; REPLICAS_MAX],
            faulty: true,
            committed: BTreeMap::new(),
            proposed: BTreeMap::new(),
            elections: ElectionSafety::new(Replicas::first(plan.replicas - plan.observers)),
            summary: Summary::default(),
            plan,
        }
    }

    fn begin(&mut self) {
        (0..self.replicas.len()).for_each(|replica| self.start(replica));
        (0..self.clients.len()).for_each(|client| self.after(0, Event::ClientBegins { client }));
        let divided = self.plan.faults == Faults::Partitions;
        self.after(if divided { 0 } else { self.plan.faults_every_ns }, Event::Fault);
        if self.plan.changes_every_ns > 0 {
            self.after(self.plan.changes_every_ns, Event::Change);
        }
    }

    /// Runs until a moment or until `done`, and says whether it was the latter.
    fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            match self.events.first_key_value() {
                Some((&(at, _), _)) if at <= end => {
                    let ((at, _), event) = self.events.pop_first().expect("just seen");
                    self.now = at;
                    self.summary.steps += 1;
                    self.handle(event);
                }
                Some(_) | None => {
                    self.now = end;
                    return false;
                }
            }
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Packet { from, to, packet } => {
                self.step(to.index(), |replica, now, output| {
                    replica.receive(from, packet, now, output);
                });
            }
            Event::Request { to, command } => {
                self.step(to, |replica, now, output| replica.request(command, now, output));
            }
            Event::Answer(answer) => {
                let client = answer.session.client() as usize - 1;
                let send = self.clients.answer(answer, self.now);
                self.send_request(client, send);
                let pause_ns = self.random.below(3 * MILLISECOND);
                self.after(pause_ns, Event::ClientBegins { client });
            }
            Event::Timeout { replica, life } if self.lives(replica, life) => {
                self.alarms[replica] = None;
                let now = self.now;
                let due = self.replicas[replica].deadline().is_some_and(|at| at <= now);
                self.step(replica, |replica, now, output| {
                    if due {
                        replica.step(Input::Timeout, now, output);
                    }
                });
            }
            Event::Flushed { replica, life } if self.lives(replica, life) => {
                self.step(replica, |replica, _, output| replica.flushed(output));
            }
            Event::PowerFails { replica, life } if self.faulty && self.lives(replica, life) => {
                self.crash(replica);
                self.start(replica);
            }
            Event::Timeout { .. } | Event::Flushed { .. } | Event::PowerFails { .. } => {}
            Event::ClientBegins { client } => {
                let send = self.clients.begin(client, self.now, &mut self.random);
                self.send_request(client, send);
            }
            Event::ClientTimeout { client, attempt } => {
                let send = self.clients.time_out(client, attempt);
                self.send_request(client, send);
                self.after(0, Event::ClientBegins { client });
            }
            Event::Fault => self.fault(),
            Event::Change => self.change(),
        }
    }

    /// Whether a replica is still in that life.
    fn lives(&self, replica: usize, life: u64) -> bool {
        self.replicas[replica].life.is_some() && self.replicas[replica].lives == life
    }

    /// Lets a replica do something and carries out what follows from it.
    fn step(&mut self, index: usize, act: impl FnOnce(&mut Replica<P>, u64, &mut Output)) {
        let mut output = Output::default();
        let replica = &mut self.replicas[index];
        let led = replica.leads();
        act(replica, self.now, &mut output);
        replica.propose(self.now, &mut output);
        if !led && replica.leads() {
            self.cut_off_now_and_then(index);
        }
        let replica = &mut self.replicas[index];
        let life = replica.lives;
        if replica.disk.begin_flush() {
            let slow = index == 0 && self.faulty && self.plan.faults == Faults::Partitions;
            let disk_ns_max = self.plan.disk_ns_max * if slow { SLOW_DISK } else { 1 };
            let disk_ns = self.random.between(1, disk_ns_max);
            if self.plan.cut_percent > 0 && self.random.percent(self.plan.cut_percent) {
                let cut_ns = self.random.below(disk_ns);
                self.after(cut_ns, Event::PowerFails { replica: index, life });
            }
            self.after(disk_ns, Event::Flushed { replica: index, life });
        }
        if let Some(at) = self.replicas[index].deadline().map(|at| at.max(self.now))
            && self.alarms[index].is_none_or(|alarm| at < alarm)
        {
            self.alarms[index] = Some(at);
            self.after(at - self.now, Event::Timeout { replica: index, life });
        }
        self.carry_out(index, output);
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        if output.restarts {
            self.crash(index);
            self.start(index);
        }
        let executes = !output.committed.is_empty();
        assert!(!(executes && self.plan.is_witness(index)), "a witness executes");
        for (slot, batch) in output.committed {
            if self.judges_elections() && !self.committed.contains_key(&slot) {
                let disks: Vec<&Disk> = self.replicas.iter().map(|replica| &replica.disk).collect();
                self.elections.commits(self.replicas[index].config.id, slot, &disks);
            }
            let first = self.committed.entry(slot).or_insert_with(|| batch.clone());
            assert_eq!(*first, batch, "two values are chosen for {slot:?}");
        }
        for answer in output.answers {
            self.travel(self.plan.twice_percent, |_| Event::Answer(answer.clone()));
        }
        let from = self.replicas[index].config.id;
        let hands_over = output.packets.iter().any(|(_, packet)| hands_over::<P>(packet));
        for (to, packet) in output.packets {
            self.check_proposal(&packet);
            self.check_election(from, to, &packet);
            if to == from {
                // What a replica tells itself cannot get lost while it lives, nor overtake.
                self.after(0, Event::Packet { from, to, packet });
            } else if self.links[from.index()][to.index()] && !self.lost(&packet) {
                self.summary.snapshots += u64::from(matches!(packet, Packet::Snapshot(_)));
                let event = |_: &Self| Event::Packet { from, to, packet: packet.clone() };
                self.travel(self.plan.twice_percent, event);
            }
        }
        if hands_over {
            self.cut_off_now_and_then(index);
        }
    }

    /// Whether it is noticed what servers of Raft do wrong, or only what comes of it. What lay on a disk
    /// that is lost cannot be counted any more.
    fn judges_elections(&self) -> bool {
        let is_counted = !matches!(self.plan.faults, Faults::Losses | Faults::Forgetting)
            && !self.plan.mutation.is_some_and(Mutation::breaks_changes);
        P::NAME == Raft::NAME && is_counted
    }

    fn check_election(&mut self, from: ReplicaId, to: ReplicaId, packet: &Packet) {
        if let Packet::Message { message, .. } = packet
            && self.judges_elections()
        {
            let disks: Vec<&Disk> = self.replicas.iter().map(|replica| &replica.disk).collect();
            self.elections.sent(from, to, message, &disks);
        }
    }

    /// Classic Paxos: a ballot stands for one value in its slot, for ever (P2c speaks of *the* value
    /// of a proposal).
    fn check_proposal(&mut self, packet: &Packet) {
        let Packet::Message { message, payload } = packet else { return };
        if P::NAME == "paxos" && message[0] == ACCEPT_OF_PAXOS {
            let first =
                self.proposed.entry(message.clone()).or_insert_with(|| payload.shared.clone());
            assert_eq!(*first, payload.shared, "one ballot is for two values");
        }
        // Paxos Commit: so it is with what acceptors say; and a round has one outcome, whoever tells it.
        let key = match message[0] {
            _ if P::NAME != "paxos_commit" => return,
            ACCEPTED_OF_PAXOS_COMMIT => message,
            COMMIT_OF_PAXOS_COMMIT | ABORT_OF_PAXOS_COMMIT => &message[1..],
            _ => return,
        };
        let first = self.proposed.entry(key.to_vec()).or_insert_with(|| payload.shared.clone());
        assert_eq!(*first, payload.shared, "two values are chosen for one ballot or round");
    }

    /// Whether a broken network drops the packet.
    fn lost(&self, packet: &Packet) -> bool {
        match (self.plan.mutation, packet) {
            (Some(Mutation::DropsMessages(kind)), Packet::Message { message, .. }) => {
                message[0] == kind
            }
            _ => false,
        }
    }

    fn send_request(&mut self, client: usize, send: Option<Send>) {
        let Some(Send { target, command, attempt, repeats }) = send else { return };
        let to = usize::try_from(target).expect("small") % self.replicas.len();
        // A write to a register that arrives twice is two writes: the transport must not do that.
        let repeatable = P::SERVICE == Service::StateMachine;
        let twice = if repeatable { self.plan.twice_percent } else { 0 };
        self.travel(twice, |_| Event::Request { to, command: command.clone() });
        // Clients back off, or their repeats would keep a slow group from ever answering.
        let most_ns = self.plan.patience_ns << repeats.min(4);
        // Transactions that were in each other's way must not come again at the same time.
        let spread_ns = if P::SERVICE == Service::Transactions { most_ns } else { MILLISECOND };
        let patience_ns = most_ns + self.random.below(spread_ns);
        self.after(patience_ns, Event::ClientTimeout { client, attempt });
    }

    /// Sends over the network, which may lose, double, delay and reorder.
    fn travel(&mut self, twice_percent: u64, event: impl Fn(&Self) -> Event) {
        let copies = 1 + u64::from(self.faulty && self.random.percent(twice_percent));
        for copy in 0..copies {
            if !(self.faulty && self.random.percent(self.plan.loss_percent)) {
                let Plan { network_ns_max, straggler_ns_max, .. } = self.plan;
                let most_ns = if copy == 0 { network_ns_max } else { straggler_ns_max };
                let delay_ns = self.random.between(20 * MICROSECOND, most_ns.max(network_ns_max));
                let event = event(self);
                self.after(delay_ns, event);
            }
        }
    }

    fn after(&mut self, delay_ns: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + delay_ns, self.scheduled), event);
    }

    fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        match self.plan.faults {
            Faults::Mixed => self.any_fault(),
            Faults::Partitions => self.divide(),
            Faults::Flapping => self.flap(),
            Faults::Losses => self.lose(),
            Faults::Forgetting => self.turn(),
            Faults::Isolation => self.isolate_leader(),
        }
        let every_ns = self.plan.faults_every_ns;
        let (least_ns, most_ns) = if self.plan.faults == Faults::Forgetting {
            (every_ns, every_ns * 5 / 4)
        } else {
            (MICROSECOND, 2 * every_ns)
        };
        let pause_ns = self.random.between(least_ns, most_ns);
        self.after(pause_ns, Event::Fault);
    }

    /// An administrator asks everybody for something, or two do who know nothing of each other.
    fn change(&mut self) {
        if !self.faulty {
            return;
        }
        for _ in 0..self.changes.between(1, 2) {
            let [beside, about] = [(); 2].map(|()| self.changes.below(self.replicas.len() as u64));
            self.ask_for_change(beside, about);
        }
        let pause_ns = self.changes.between(MICROSECOND, 2 * self.plan.changes_every_ns);
        self.after(pause_ns, Event::Change);
    }

    /// What the administrator beside a replica asks for, about another.
    fn ask_for_change(&mut self, beside: u64, about: u64) {
        let replica = ReplicaId(u8::try_from(about).expect("a few"));
        let [beside, about] = [beside, about].map(|at| usize::try_from(at).expect("a few"));
        // Where groups are split, each side lets those vote whom it hears.
        let is_split = self.plan.faults == Faults::Isolation;
        let hears = |other: usize| !is_split || beside == other || self.links[other][beside];
        let votes = if is_split { hears(about) } else { self.changes.percent(50) };
        let change = if self.changes.percent(self.plan.transfers_percent) {
            Change::Transfer(replica)
        } else if votes {
            Change::Add(replica)
        } else {
            Change::Remove(replica)
        };
        let asked: Vec<usize> = (0..self.replicas.len()).filter(|&other| hears(other)).collect();
        for index in asked {
            self.step(index, |replica, now, output| replica.change(change, now, output));
        }
    }

    fn any_replica(&mut self) -> usize {
        usize::try_from(self.random.below(self.replicas.len() as u64)).expect("few")
    }

    fn take_checkpoint(&mut self, replica: usize) {
        self.summary.checkpoints += 1;
        self.step(replica, Replica::checkpoint);
    }

    fn any_fault(&mut self) {
        let replica = self.any_replica();
        match self.random.below(12) {
            0..3 if self.replicas[replica].life.is_some() => self.crash(replica),
            3..7 => {
                let down = (0..self.replicas.len()).find(|&at| self.replicas[at].life.is_none());
                down.into_iter().for_each(|replica| self.start(replica));
            }
            7..9 => {
                self.take_checkpoint(replica);
            }
            9..11 => self.partition(),
            _ => self.links = [[true; REPLICAS_MAX]; REPLICAS_MAX],
        }
    }

    /// Draws who hears whom. A replica may crash before, and come back at once.
    fn divide(&mut self) {
        let replica = if self.random.percent(50) { 0 } else { self.any_replica() };
        match self.random.below(6) {
            0..3 => {
                self.crash(replica);
                self.start(replica);
            }
            3 => self.take_checkpoint(replica),
            _ => {}
        }
        let both_ways = self.random.percent(50);
        for from in 0..REPLICAS_MAX {
            for to in 0..from {
                self.links[from][to] = self.random.percent(60);
                let same = self.links[from][to];
                self.links[to][from] = if both_ways { same } else { self.random.percent(60) };
            }
        }
    }

    /// Somebody leads now, or has asked another to: it may be cut off before it has told others, or before
    /// others tell it.
    fn cut_off_now_and_then(&mut self, leader: usize) {
        if self.faulty && self.plan.faults == Faults::Isolation && self.random.percent(50) {
            self.isolate(leader);
        }
    }

    /// Cuts off who leads, or lets all hear each other again.
    fn isolate_leader(&mut self) {
        let replica = self.any_replica();
        self.take_checkpoint(replica);
        let leader = (0..self.replicas.len()).find(|&at| self.replicas[at].leads());
        match leader.filter(|_| self.random.percent(50)) {
            Some(leader) => self.isolate(leader),
            None => self.links = [[true; REPLICAS_MAX]; REPLICAS_MAX],
        }
    }

    /// Splits the group in two: a replica, alone or with some others, and the rest.
    fn isolate(&mut self, replica: usize) {
        let sides = self.random.next() & self.random.next() | 1 << replica;
        for from in 0..REPLICAS_MAX {
            for to in 0..REPLICAS_MAX {
                self.links[from][to] = sides >> from & 1 == sides >> to & 1;
            }
        }
    }

    /// A replica loses its disk, if all others have what they promised; or what divides goes on.
    fn lose(&mut self) {
        let replica = self.any_replica();
        let mut others = (0..self.replicas.len()).filter(|&other| other != replica);
        if self.random.percent(70) || others.any(|other| self.replicas[other].config.lost) {
            self.divide();
        } else {
            self.lose_disk(replica);
        }
    }

    fn lose_disk(&mut self, replica: usize) {
        self.crash(replica);
        self.replicas[replica].lose_disk();
        let id = self.replicas[replica].config.id;
        // Connections end with the lives of those whom they connect.
        let is_gone = |event: &Event| matches!(event, Event::Packet { from, to, .. } if *from == id || *to == id);
        self.events.retain(|_, event| !is_gone(event));
        self.start(replica);
    }

    /// Replica 1 crashes and comes back at once. It is the only one that others hear, and most
    /// often just one of them.
    fn flap(&mut self) {
        let hub = 1.min(self.replicas.len() - 1);
        let friend = self.any_replica();
        self.join(hub, |other| friend == hub || friend == other);
        if self.random.percent(self.plan.checkpoint_percent) {
            self.take_checkpoint(hub);
        } else {
            self.crash(hub);
            self.start(hub);
        }
    }

    /// Replica 1 turns to the other of those that need it, and may lose its disk as it does.
    fn turn(&mut self) {
        let (hub, friend) = (1, if self.links[0][1] { 2 } else { 0 });
        self.join(hub, |other| other == friend);
        if self.random.percent(50) && !self.replicas[hub].config.lost {
            self.lose_disk(hub);
        }
    }

    /// Lets one replica and some others hear each other, and nobody else.
    fn join(&mut self, hub: usize, hears: impl Fn(usize) -> bool) {
        self.links = [[false; REPLICAS_MAX]; REPLICAS_MAX];
        for other in (0..REPLICAS_MAX).filter(|&other| hears(other)) {
            (self.links[other][hub], self.links[hub][other]) = (true, true);
        }
    }

    /// Cuts single directions, or splits the group in two.
    fn partition(&mut self) {
        let sides = self.random.next();
        let one_way = self.random.percent(30);
        for from in 0..REPLICAS_MAX {
            for to in 0..REPLICAS_MAX {
                let same_side = sides >> from & 1 == sides >> to & 1;
                self.links[from][to] = if one_way { self.random.percent(70) } else { same_side };
            }
        }
    }

    fn start(&mut self, index: usize) {
        self.alarms[index] = None;
        self.step(index, Replica::start);
    }

    fn crash(&mut self, index: usize) {
        self.summary.crashes += 1;
        self.replicas[index].crash();
        let id = self.replicas[index].config.id;
        // What it was telling itself dies with it.
        self.events.retain(
            |_, event| !matches!(event, Event::Packet { from, to, .. } if *from == id && *to == id),
        );
    }

    /// Ends all faults: every replica runs and every link works.
    fn heal(&mut self) {
        self.faulty = false;
        self.links = [[true; REPLICAS_MAX]; REPLICAS_MAX];
        for replica in 0..self.replicas.len() {
            self.replicas[replica].any_oracle = false;
            if self.replicas[replica].life.is_none() {
                self.start(replica);
            }
        }
        self.clients.grant(OPERATIONS_AFTER);
        (0..self.clients.len()).for_each(|client| self.after(0, Event::ClientBegins { client }));
    }

    /// Whether all that hold a key come to hold its newest value, when it is read now and then: what was
    /// left behind is mended by reads.
    fn converges(&mut self, holders: &Holders) -> bool {
        (0..READS_OF_EACH).any(|_| {
            for key in 0..self.plan.keys {
                let to = self.any_replica();
                // Whose answers no client waits for.
                let (op, sequence, session) = (Op::Get, SEQUENCE_MAX, SessionId::new(1, 0));
                let mut command = Vec::new();
                Command { session, sequence, key, op, expected: 0, value: &[] }
                    .encode(&mut command);
                self.after(0, Event::Request { to, command });
            }
            self.run_until(self.now + self.plan.keys * READ_NS, |_| false);
            let stores: Vec<_> = self.living().map(|life| &life.store).collect();
            self.settled() && holders.hold_the_newest(&stores, &self.clients.history)
        })
    }

    /// Whether all replicas hold the same and no payload more than they may.
    fn settled(&self) -> bool {
        let mut lives = self.living();
        let payloads_fit = match P::SERVICE {
            Service::Registers | Service::Transactions => {
                lives.all(|life| life.arena.held_bytes() == 0)
            }
            Service::StateMachine => {
                // Votes for values that lost may stay, but never more than a window of them.
                let batch_bytes_max = self.plan.batch_commands_max * 96;
                let bytes_max =
                    self.plan.retain_bytes + 2 * (self.plan.window * batch_bytes_max) as u64;
                lives.all(|life| life.arena.held_bytes() as u64 <= bytes_max)
            }
        };
        let mut stores = self.executing().map(|life| &life.store);
        let first = stores.next();
        let same = P::SERVICE != Service::StateMachine || stores.all(|store| Some(store) == first);
        let nothing_is_owed = self.living().all(|life| life.protocol.hints().kept == 0);
        payloads_fit && same && nothing_is_owed
    }

    fn living(&self) -> impl Iterator<Item = &Life<P>> {
        self.replicas.iter().filter_map(|replica| replica.life.as_ref())
    }

    /// Those of them that have a state.
    fn executing(&self) -> impl Iterator<Item = &Life<P>> {
        let executing = self.plan.replicas - self.plan.witnesses;
        self.replicas[..executing].iter().filter_map(|replica| replica.life.as_ref())
    }
}

/// Whether a leader of Raft asks another to lead.
fn hands_over<P: Protocol>(packet: &Packet) -> bool {
    let Packet::Message { message, .. } = packet else { return false };
    P::NAME == Raft::NAME && message[0] == TIMEOUT_NOW_OF_RAFT
}

/// Makes the quorums of Multi-Paxos too small, or clocks unlike what Raft was told, if that is what is
/// broken.
fn break_assumptions(plan: &mut Plan) {
    let [_, _, phase1, phase2, ..] = &mut plan.parameters;
    match plan.mutation {
        Some(Mutation::QuorumsOfOne) => (*phase1, *phase2) = (1, 1),
        Some(Mutation::SmallPhase1Quorums) => *phase1 = (*phase1 - 1).max(1),
        Some(Mutation::SmallPhase2Quorums) => *phase2 = (*phase2 - 1).max(1),
        Some(Mutation::ClocksRunApart) => plan.drift_ppm *= 9,
        _ => {}
    }
}
