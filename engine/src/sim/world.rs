//! A cluster and its clients in virtual time: the machines, their turns, and what travels between
//! them. What strikes them is in `strikes.rs`.

mod events;
mod processors;
mod strikes;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic;

use synod_protocols::protocol::{Change, Config, Protocol, Role, Service};
use synod_protocols::types::{ReplicaId, Replicas, Time};
use synod_workloads::{Concern, Random};

use self::events::{Events, Next};
use self::processors::Processor;
use super::disk::SimulatedDisk;
use super::models::{Clock, Work};
#[cfg(test)]
use super::mutation::Mutation;
use super::network::{Content, Network, Parcel, Traffic};
use super::observe::{Observed, Seen};
use super::plan::{Action, Fault, Plan, Target};
use crate::cluster::orders::Status;
use crate::emulate::{Control, Emulated, Rule};
use crate::greeting::Key;
use crate::io::Address;
use crate::io::simulated::{self, Arrival, Port, SimulatedIo};
use crate::load::{self, LoadThread, Noticed, Recording, Shared};
use crate::node::{Counters, Node, Opened, Settings};
use crate::wal::{LogWrite, log_records};

/// After a disk has failed the process is started again after so long, on a repaired disk.
const REPAIR_NS: u64 = 50_000_000;

/// How much slower a slow processor or disk is.
const SLOWNESS: u64 = 100;

thread_local! {
    /// Processor time of the load thread whose turn it is.
    static LOAD_CPU_NS: Cell<u64> = const { Cell::new(0) };
}

/// A replica. Faults of a workload file reach it as they do in a real run.
type Replica<P> = Node<Observed<P>, Emulated<SimulatedIo>>;

/// What runs on a machine.
enum Process<P: Protocol> {
    Replica(Box<Replica<P>>),
    Load(Box<LoadThread<SimulatedIo>>),
    /// Crashed, or at its end.
    Nothing,
}

struct Machine<P: Protocol> {
    process: Process<P>,
    port: Rc<RefCell<Port>>,
    clock: Clock,
    /// Which of its lives this is: what was meant for an earlier one is dropped.
    life: u32,
    /// When the turn that is due begins; 0 while it waits for its processor.
    turn_at: u64,
    busy_until: u64,
    /// Processor time used in all lives.
    busy_ns: u64,
    disk: SimulatedDisk,
    /// Writes that the disk has not ended.
    writes: Vec<(u64, LogWrite)>,
    /// Faults that make it stand still, and that slow its processor and its disk.
    paused: u32,
    slow_processor: u32,
    slow_disk: u32,
    /// Whether its disk was damaged since it last started.
    tainted: bool,
    /// Records that its process replayed when it started.
    replayed: u64,
    /// Why its process has ended by itself.
    last_words: Option<String>,
}

#[derive(Debug)]
enum Event {
    Parcel(Parcel),
    /// A processor that others wait for is free.
    Free(usize),
    /// The disk of a machine ends a write.
    Written(usize, u32, u64),
    Fault(usize),
    /// A fault on a replica ends; for a crash: its process starts again.
    End(Action, usize),
}

/// What a world has counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events: turns, bytes that came, writes that ended, faults and their ends.
    pub events: u64,
    /// Turns of machines.
    pub turns: u64,
    /// A checksum of all turns, in order: two runs of a plan have the same.
    pub trace: u64,
    /// Faults that struck, by action.
    pub faults: [u64; Action::ALL.len()],
    /// Writes that a crash tore.
    pub torn: u64,
    /// Processes that started without what they had promised.
    pub lost: u64,
    /// Processes that stopped because their disk failed.
    pub stopped: u64,
    /// What the network did.
    pub traffic: Traffic,
    /// What all replicas counted, in all their lives.
    pub counters: Counters,
}

/// The world of one plan. The machines of replicas come first, group by group, then those of load
/// threads.
pub(crate) struct World<P: Protocol> {
    plan: Plan,
    pub(crate) now: u64,
    events: Events<Event>,
    machines: Vec<Machine<P>>,
    processors: Vec<Processor>,
    /// When each disk can begin a write.
    disks_free_at: Vec<u64>,
    network: Network,
    random: Random,
    /// Whether faults strike, or everything heals.
    faulty: bool,
    shared: Arc<Shared>,
    /// For each replica what is done to its links and its disk.
    controls: Vec<Arc<Control>>,
    /// What load threads noticed that are at their end.
    noticed: Vec<Noticed>,
    pub(crate) tally: Tally,
    /// Why a replica could not be started.
    pub(crate) failure: Option<String>,
}

/// What is left of a world.
pub(crate) struct Ended {
    pub(crate) tally: Tally,
    pub(crate) seen: Seen,
    pub(crate) noticed: Vec<Noticed>,
}

impl<P: Protocol> World<P> {
    /// A world in which everybody has just started. There is one recording for each load thread.
    pub(crate) fn new(plan: Plan, recordings: Vec<Recording>) -> Self {
        let replicas = usize::from(plan.replicas) * plan.groups;
        assert_eq!(plan.clocks.len(), replicas + recordings.len());
        let random = |salt| Random::new(plan.seed ^ salt, Concern::World);
        let mut world = Self {
            now: 0,
            events: Events::new(plan.clocks.len()),
            machines: plan.clocks.iter().map(|&clock| Machine::new(clock)).collect(),
            processors: Processor::all(&plan),
            disks_free_at: vec![0; plan.clocks.len()],
            network: Network::new(
                plan.network.clone(),
                plan.clocks.len(),
                replicas,
                random(0x5eed_5eed),
            ),
            random: random(0x5eed),
            faulty: true,
            shared: Arc::new(Shared::default()),
            controls: (0..plan.replicas)
                .map(|_| Arc::new(Control::new(vec![Rule::CLEAR; usize::from(plan.replicas)])))
                .collect(),
            noticed: Vec::new(),
            tally: Tally::default(),
            failure: None,
            plan,
        };
        for machine in 0..replicas {
            world.start(machine);
        }
        for (thread, recording) in (0..).zip(recordings) {
            world.start_load(thread, recording);
        }
        for (number, fault) in world.plan.faults.iter().enumerate() {
            world.events.push(fault.at_ns, Event::Fault(number));
        }
        world
    }

    /// Replicas in a group.
    fn replicas(&self) -> usize {
        usize::from(self.plan.replicas)
    }

    /// The first machine of a load thread.
    fn loads_from(&self) -> usize {
        self.replicas() * self.plan.groups
    }

    /// The machines of a replica, one for each group.
    fn machines_of(&self, replica: usize) -> impl Iterator<Item = usize> + use<P> {
        (replica..self.loads_from()).step_by(self.replicas())
    }

    fn start_load(&mut self, thread: u16, recording: Recording) {
        let machine = self.loads_from() + usize::from(thread);
        let port = self.new_life(machine);
        let load = LoadThread::new(
            load::Plan {
                thread,
                threads: self.plan.load.threads,
                cluster: self.plan.seed,
                key: Key::of_seed(self.plan.seed).for_clients(),
                nonces: Key::of_seed(!self.plan.seed ^ u64::from(thread)),
                groups: (0..self.plan.groups).map(|group| self.addresses(group)).collect(),
                load: self.plan.load.clone(),
                phases: self.plan.phases,
                seed: self.plan.seed,
                repeatable: P::SERVICE == Service::StateMachine,
                reads: P::reads(&self.plan.parameters),
                frame_bytes_max: self.plan.limits.frame_bytes_max,
            },
            SimulatedIo::new(port),
            Arc::clone(&self.shared),
            recording,
            || LOAD_CPU_NS.get(),
        );
        self.machines[machine].process = Process::Load(Box::new(load));
        self.turn_by(machine, self.now);
    }

    /// The warm-up begins now, as load threads' clocks show it.
    pub(crate) fn begin(&mut self) {
        let loads = self.loads_from();
        let clock = self.machines[loads].clock;
        // All load threads have the same clock: they are threads of one process.
        assert!(self.machines[loads..].iter().all(|machine| machine.clock == clock));
        let start = clock.local(self.now) + 1;
        self.shared.start_at_ns.store(start, atomic::Ordering::Relaxed);
        self.wake_load();
    }

    fn wake_load(&mut self) {
        for machine in self.loads_from()..self.machines.len() {
            self.turn_by(machine, self.now);
        }
    }

    fn addresses(&self, group: usize) -> Vec<Address> {
        let first = u32::try_from(group * self.replicas()).expect("few machines");
        (first..first + u32::from(self.plan.replicas)).map(Address::Memory).collect()
    }

    // Processes.

    /// A fresh port for what is about to start on a machine.
    fn new_life(&mut self, machine: usize) -> Rc<RefCell<Port>> {
        let now = self.now;
        let machine = &mut self.machines[machine];
        machine.life += 1;
        machine.turn_at = u64::MAX;
        machine.busy_until = now;
        let now = Time(machine.clock.local(now));
        machine.port = Rc::new(RefCell::new(Port::new(now)));
        Rc::clone(&machine.port)
    }

    /// Starts a replica, unless it runs.
    fn start(&mut self, machine: usize) {
        if !self.is_down(machine) {
            return;
        }
        let port = self.new_life(machine);
        let settings = self.settings(machine);
        let control = Arc::clone(&self.controls[machine % self.replicas()]);
        let (peers, seed) = (settings.peers.clone(), settings.seed);
        let io = Emulated::new(SimulatedIo::new(port), control, peers, seed);
        Seen::enter(settings.group);
        let opened = match self.plan.log {
            None => Ok((Node::new(settings, io), Opened { records: 0, loss: None })),
            Some(limits) => {
                let disk = self.machines[machine].disk.clone();
                Node::open(settings, io, || Ok(disk.clone()), limits)
            }
        };
        match opened {
            Ok((node, opened)) => {
                self.tally.lost += u64::from(opened.loss.is_some());
                let place = &mut self.machines[machine];
                place.process = Process::Replica(Box::new(node));
                (place.replayed, place.last_words) = (opened.records, None);
                // What is wrong with its disk was found now. One that cannot be read yet may hide more.
                place.tainted = false;
                self.turn_by(machine, self.now);
            }
            Err(_) if self.machines[machine].disk.is_faulty() => self.repair_later(machine),
            Err(sentence) => {
                let failure = || format!("machine {machine} cannot start: {sentence}");
                self.failure.get_or_insert_with(failure);
            }
        }
    }

    fn settings(&self, machine: usize) -> Settings {
        let plan = &self.plan;
        let (group, id) = (machine / self.replicas(), machine % self.replicas());
        let limits = plan.limits;
        let life = u64::from(self.machines[machine].life);
        Settings {
            protocol: Config {
                id: ReplicaId(u8::try_from(id).expect("few")),
                replicas: self.replicas(),
                window: plan.window,
                retain_bytes: plan.retain_bytes,
                log_records: plan
                    .log
                    .map_or(usize::MAX, |log| log_records(plan.sync_each, log.writes_in_flight)),
                parameters: plan.parameters,
                observers: usize::from(self.plan.observers),
                witnesses: usize::from(self.plan.witnesses),
                lost: false,
            },
            cluster: plan.seed,
            key: Key::of_seed(plan.seed),
            nonces: Key::of_seed(plan.seed ^ life << 40 ^ (machine as u64 + 1) << 32),
            group: u16::try_from(group).expect("few"),
            peers: self.addresses(group),
            seed: plan.seed ^ life << 40 ^ (group as u64) << 48,
            batch_ops_max: plan.batch_ops_max,
            batch_bytes_max: limits.batch_bytes_max,
            linger_ns: plan.linger_ns,
            objective_ns: plan.objective_ns,
            frame_bytes_max: limits.frame_bytes_max,
            pending_ops_max: limits.pending_ops_max,
            keys_expected: limits.keys_expected,
            sessions_max: limits.sessions_max,
            snapshot_bytes: plan.snapshot_bytes,
            clients_max: limits.clients_max,
            sync_each: plan.sync_each,
            founding: self.machines[machine].life == 1,
        }
    }

    /// The process is gone; what its disk was writing is torn.
    fn end(&mut self, machine: usize) {
        let Process::Replica(node) =
            std::mem::replace(&mut self.machines[machine].process, Process::Nothing)
        else {
            return;
        };
        self.tally.counters.add(&node.counters());
        let place = &mut self.machines[machine];
        place.life += 1;
        #[cfg(test)]
        place.disk.lose_cache();
        for (_, write) in std::mem::take(&mut place.writes) {
            self.tally.torn += 1;
            place.disk.tear(&write, &mut self.random);
        }
        let parcels = self.network.end_all(machine, self.now);
        self.send_parcels(parcels);
    }

    // Time.

    fn schedule(&mut self, at: u64, event: Event) {
        self.events.push(at.max(self.now), event);
    }

    /// The machine has a turn at `at` or earlier.
    fn turn_by(&mut self, machine: usize, at: u64) {
        let place = &mut self.machines[machine];
        let at = at.max(place.busy_until).max(self.now);
        if at < place.turn_at {
            place.turn_at = at;
            self.events.set_turn(machine, at);
        }
    }

    /// Runs until a moment or until `done`, and says whether it was the latter.
    pub(crate) fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let due = if self.failure.is_none() { self.events.pop_until(end) } else { None };
            let Some((at, next)) = due else {
                self.now = self.now.max(end);
                return false;
            };
            self.now = at;
            self.tally.events += 1;
            match next {
                // None for a process that has ended since, or waits for its processor already.
                Next::Turn(machine) if self.machines[machine].turn_at == at => self.claim(machine),
                Next::Turn(_) => {}
                Next::Event(event) => self.handle(event),
            }
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Free(processor) => self.hand_on(processor),
            Event::Parcel(parcel) => self.receive(parcel),
            Event::Written(machine, life, number) => self.written(machine, life, number),
            Event::Fault(number) => self.strike(self.plan.faults[number]),
            Event::End(action, replica) => self.relieve(action, replica),
        }
    }

    fn trace(&mut self, machine: usize, arrivals: u64, bytes: u64) {
        self.tally.turns += 1;
        for word in [self.now, machine as u64, arrivals, bytes] {
            self.tally.trace =
                (self.tally.trace.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn turn(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        machine.turn_at = u64::MAX;
        if machine.paused > 0 {
            return;
        }
        let intake = {
            let port = &mut *machine.port.borrow_mut();
            port.now = port.now.max(Time(machine.clock.local(self.now)));
            port.admit(self.plan.turn_bytes)
        };
        self.trace(number, intake.pieces as u64, intake.bytes as u64);
        Seen::tick(self.now);
        let machine = &mut self.machines[number];
        let before = machine.done();
        let mut last_words = None;
        let deadline = match &mut machine.process {
            Process::Nothing => return,
            Process::Load(load) => {
                LOAD_CPU_NS.set(machine.busy_ns);
                load.turn().then(|| load.deadline())
            }
            Process::Replica(node) => match node.turn() {
                Ok(()) => Some(node.deadline()),
                Err(fatal) => {
                    last_words = Some(fatal.to_string());
                    None
                }
            },
        };
        let mut actions = std::mem::take(&mut machine.port.borrow_mut().outbox);
        machine.last_words = last_words;
        let Some(deadline) = deadline else { return self.over(number) };
        let slowness = if machine.slow_processor > 0 { SLOWNESS } else { 1 };
        let mut work = machine.done().since(before);
        (work.arrivals, work.bytes) = (intake.things, intake.bytes as u64);
        for action in &actions {
            work.sends += u64::from(matches!(action, simulated::Action::Send(..)));
            work.bytes += action.bytes() as u64;
            work.writes += u64::from(matches!(action, simulated::Action::Write(..)));
        }
        let more = !machine.port.borrow().inbox.is_empty();
        let processor = &mut self.processors[self.plan.processors[number]];
        work.switched = processor.take(number, self.now);
        let cost = work.cost(self.plan.cpu) * slowness;
        let end = processor.work(self.now, cost);
        machine.busy_until = end;
        machine.busy_ns += cost;
        if let Process::Replica(node) = &mut machine.process {
            node.end_turn(|| Time(machine.clock.local(end)));
        }
        let wake = if more { self.now } else { machine.clock.world(deadline.0) };
        // What is sent leaves piece by piece: who gets the first begins while the others are sent.
        let send_ns = self.plan.cpu.send_ns * slowness;
        let mut at = end - work.sends * send_ns;
        for action in actions.drain(..) {
            at += if matches!(action, simulated::Action::Send(..)) { send_ns } else { 0 };
            self.act(number, action, at);
        }
        self.machines[number].port.borrow_mut().outbox = actions;
        self.turn_by(number, wake);
    }

    /// A process has ended by itself: the load at its end, a replica because its disk failed.
    fn over(&mut self, number: usize) {
        if number >= self.loads_from() {
            let process = std::mem::replace(&mut self.machines[number].process, Process::Nothing);
            if let Process::Load(load) = process {
                self.noticed.push(load.finish());
            }
            return;
        }
        self.end(number);
        if self.plan.restarts {
            self.repair_later(number);
        }
    }

    /// A process could not go on with its disk: it is started again when the disk is repaired.
    fn repair_later(&mut self, number: usize) {
        self.tally.stopped += 1;
        let replica = number % self.replicas();
        self.schedule(self.now + REPAIR_NS, Event::End(Action::FailDisk, replica));
    }

    fn act(&mut self, machine: usize, action: simulated::Action, at: u64) {
        match action {
            simulated::Action::Connect(link, to) => {
                let life = self.machines[machine].life;
                let parcel = self.network.connect(machine, life, link, to as usize, at);
                self.send_parcels(parcel);
            }
            simulated::Action::Send(link, bytes) => {
                let Self { network, events, now, .. } = self;
                network.send(machine, link, bytes, at, |parcel| {
                    events.push(parcel.at.max(*now), Event::Parcel(parcel));
                });
            }
            simulated::Action::Close(link) => {
                let parcel = self.network.close(machine, link, at);
                self.send_parcels(parcel);
            }
            simulated::Action::Write(write) => self.write(machine, write, at),
        }
    }

    // The network.

    fn send_parcels(&mut self, parcels: impl IntoIterator<Item = Parcel>) {
        for parcel in parcels {
            self.schedule(parcel.at, Event::Parcel(parcel));
        }
    }

    fn receive(&mut self, parcel: Parcel) {
        let to = parcel.to;
        let life = self.machines[to].life;
        match parcel.content {
            Content::Opening(end) => {
                if self.network.is_closed(end) {
                    return;
                }
                let answer = if self.is_down(to) {
                    self.network.refuse(end, self.now)
                } else {
                    let link = self.machines[to].port.borrow_mut().open();
                    self.arrive(to, Arrival::Accepted(link));
                    self.network.accept(end, life, link, self.now)
                };
                self.send_parcels(answer);
            }
            Content::Arrival(arrival) if parcel.life == life => self.arrive(to, arrival),
            Content::Arrival(_) => {}
        }
    }

    fn arrive(&mut self, machine: usize, arrival: Arrival) {
        self.machines[machine].port.borrow_mut().inbox.push_back(arrival);
        self.turn_by(machine, self.now);
    }

    // Disks.

    fn write(&mut self, machine: usize, write: LogWrite, at: u64) {
        let number = self.events.made();
        let slowness = if self.machines[machine].slow_disk > 0 { SLOWNESS } else { 1 };
        let takes = self.plan.disk.draw(&mut self.random) * slowness;
        let queue = self.plan.disk_queue;
        let free_at = &mut self.disks_free_at[if queue.shared { 0 } else { machine }];
        let gap_ns = queue.gap_ns + write.length as u64 * queue.kib_ns / 1024;
        let at = at.max(*free_at) + gap_ns * slowness;
        *free_at = at;
        let life = self.machines[machine].life;
        self.machines[machine].writes.push((number, write));
        self.schedule(at + takes, Event::Written(machine, life, number));
    }

    fn written(&mut self, machine: usize, life: u32, number: u64) {
        let place = &mut self.machines[machine];
        if place.life != life {
            return;
        }
        let at = place.writes.iter().position(|(other, _)| *other == number);
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests confuse writes"))]
        let (_, mut write) = place.writes.swap_remove(at.expect("a write ends once"));
        let result = if place.disk.fails() {
            place.disk.tear(&write, &mut self.random);
            Err(std::io::Error::other("the simulated disk fails"))
        } else {
            place.disk.complete(&write);
            #[cfg(test)]
            if let Some((_, other)) = place.writes.last_mut()
                && Mutation::ConfusesWrites.is_on()
            {
                std::mem::swap(&mut write.token, &mut other.token);
            }
            Ok(())
        };
        self.arrive(machine, Arrival::Written(write.token, write.buffer, result));
    }
}

impl<P: Protocol> Machine<P> {
    fn new(clock: Clock) -> Self {
        Self {
            process: Process::Nothing,
            port: Rc::default(),
            clock,
            life: 0,
            turn_at: u64::MAX,
            busy_until: 0,
            busy_ns: 0,
            disk: SimulatedDisk::default(),
            writes: Vec::new(),
            paused: 0,
            slow_processor: 0,
            slow_disk: 0,
            tainted: false,
            replayed: 0,
            last_words: None,
        }
    }

    fn node(&self) -> Option<&Replica<P>> {
        match &self.process {
            Process::Replica(node) => Some(node),
            Process::Load(_) | Process::Nothing => None,
        }
    }

    /// What its process has done in this life.
    fn done(&self) -> Work {
        let nothing = Work::default();
        match &self.process {
            Process::Replica(node) => {
                let (commands, registers) = (node.commands(), node.registers());
                Work { commands, registers, messages: node.messages(), ..nothing }
            }
            Process::Load(load) => Work { operations: load.completed(), ..nothing },
            Process::Nothing => nothing,
        }
    }
}

// What can be seen from outside.
impl<P: Protocol> World<P> {
    /// Operations that have ended so far.
    pub(crate) fn completed(&self) -> u64 {
        self.shared.completed.load(atomic::Ordering::Relaxed)
    }

    /// Load threads that have written every key once.
    pub(crate) fn preloaded(&self) -> usize {
        self.shared.preloaded.load(atomic::Ordering::Relaxed)
    }

    /// Clients begin nothing more; what they wait for is given up.
    pub(crate) fn stop_load(&mut self) {
        self.shared.stop.store(true, atomic::Ordering::Relaxed);
        self.wake_load();
    }

    /// Whether all load threads are at their end.
    pub(crate) fn is_over(&self) -> bool {
        self.noticed.len() == self.machines.len() - self.loads_from()
    }

    /// Whether the clients have stopped, and all replicas run and have applied the same.
    pub(crate) fn is_settled(&self) -> bool {
        let alike = |group| {
            self.nodes(group).count() == self.replicas()
                && self.nodes(group).all(Node::is_certain)
                && self.same(group, Node::applied).is_some()
        };
        self.is_over() && (0..self.plan.groups).all(alike)
    }

    /// Whether replicas that have applied the same slots hold the same.
    pub(crate) fn is_alike(&self) -> bool {
        (0..self.plan.groups).all(|group| self.same(group, |node| Some(node.checksum())).is_some())
    }

    /// The id of the newest value or tombstone of each key that some running replica holds.
    pub(crate) fn contents(&self) -> BTreeMap<u64, u64> {
        let mut newest = BTreeMap::new();
        for node in (0..self.plan.groups).flat_map(|group| self.nodes(group)) {
            node.for_each_key(|key, version, id| {
                let held = newest.entry(key).or_insert((version, id));
                *held = (*held).max((version, id));
            });
        }
        newest.into_iter().map(|(key, (_, id))| (key, id)).collect()
    }

    /// What all running replicas of a group that have a state say alike.
    fn same<T: PartialEq>(
        &self,
        group: usize,
        say: impl Fn(&Replica<P>) -> Option<T>,
    ) -> Option<T> {
        let executing = self.replicas() - usize::from(self.plan.witnesses);
        let mut said = self.first_nodes(group, executing).map(say);
        let first = said.next()??;
        said.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    fn nodes(&self, group: usize) -> impl Iterator<Item = &Replica<P>> {
        self.first_nodes(group, self.replicas())
    }

    /// Those of so many replicas, the first ones.
    fn first_nodes(&self, group: usize, count: usize) -> impl Iterator<Item = &Replica<P>> {
        let first = group * self.replicas();
        self.machines[first..first + count].iter().filter_map(Machine::node)
    }

    /// What the replicas say of themselves, for a run that got stuck.
    pub(crate) fn describe(&self) -> String {
        let lines: Vec<String> = self.machines[..self.loads_from()]
            .iter()
            .enumerate()
            .map(|(number, machine)| match machine.node() {
                Some(node) => {
                    let paused = if machine.paused > 0 { ", frozen" } else { "" };
                    format!("{number}: {:?}, applied {:?}{paused}", node.role(), node.applied())
                }
                None => format!("{number}: down"),
            })
            .collect();
        lines.join("; ")
    }

    /// An administrator asks all replicas for something.
    pub(crate) fn change(&mut self, change: Change) {
        for number in 0..self.loads_from() {
            if let Process::Replica(node) = &mut self.machines[number].process {
                node.change(change);
                self.turn_by(number, self.now);
            }
        }
    }

    /// What is done to a replica's links and disk.
    pub(crate) fn control(&self, replica: usize) -> &Arc<Control> {
        &self.controls[replica]
    }

    /// Whether all groups of a replica run.
    pub(crate) fn is_alive(&self, replica: usize) -> bool {
        self.machines_of(replica).all(|machine| !self.is_down(machine))
    }

    /// Which life of a replica this is.
    pub(crate) fn life(&self, replica: usize) -> u32 {
        self.machines[replica].life
    }

    /// Records that a replica replayed when it started, if it runs.
    pub(crate) fn replayed(&self, replica: usize) -> Option<u64> {
        let records = self.machines_of(replica).map(|machine| self.machines[machine].replayed);
        self.is_alive(replica).then(|| records.sum())
    }

    /// Why a replica has ended by itself, if it has.
    pub(crate) fn last_words(&self, replica: usize) -> Option<&str> {
        self.machines_of(replica).find_map(|machine| self.machines[machine].last_words.as_deref())
    }

    /// Ends a replica; its disk may be emptied.
    pub(crate) fn kill(&mut self, replica: usize, wipes: bool) {
        for machine in self.machines_of(replica) {
            self.harm(if wipes { Action::Wipe } else { Action::Crash }, machine);
        }
    }

    /// Starts a replica again.
    pub(crate) fn restart(&mut self, replica: usize) {
        self.relieve(Action::Crash, replica);
    }

    /// How each group of a replica is doing; nothing of one that is down.
    pub(crate) fn statuses(&self, replica: usize) -> Vec<Status> {
        let status = |machine: usize| {
            let node = self.machines[machine].node()?;
            Some(Status {
                leads: node.role() == Role::Leader,
                voters: node.voters().map(Replicas::bits),
                counters: node.counters(),
                cpu_ns: self.machines[machine].busy_ns,
                at_ns: self.now,
            })
        };
        self.machines_of(replica).map(status).collect::<Option<_>>().unwrap_or_default()
    }

    /// Ends the world.
    pub(crate) fn finish(mut self) -> Ended {
        for machine in self.loads_from()..self.machines.len() {
            self.over(machine);
        }
        for machine in &self.machines {
            if let Some(node) = machine.node() {
                self.tally.counters.add(&node.counters());
            }
        }
        self.tally.traffic = self.network.traffic;
        Ended { tally: self.tally, seen: Seen::end(), noticed: self.noticed }
    }
}
