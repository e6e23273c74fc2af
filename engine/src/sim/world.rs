//! A cluster and its clients in virtual time: the event heap, the machines and what strikes them.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic;

use crossbeam::channel::{Receiver, unbounded};
use synod_protocols::protocol::{Config, Protocol, Role, Service};
use synod_protocols::types::{ReplicaId, Time};
use synod_results::history::Operation;
use synod_workloads::{Concern, Phases, Random};

use super::disk::SimulatedDisk;
use super::models::Clock;
use super::network::{Content, Network, Parcel, Traffic};
use super::observe::{Observed, Seen};
use super::plan::{self, Fault, Plan, Target};
use crate::greeting::Key;
use crate::io::Address;
use crate::io::simulated::{self, Arrival, Port, SimulatedIo};
use crate::load::{self, LoadThread, Piece, Recording, Shared};
use crate::node::{Counters, Node, Settings};
use crate::wal::LogWrite;

/// After a disk has failed the process is started again after so long, on a repaired disk.
const REPAIR_NS: u64 = 50_000_000;

/// How much slower a slow processor or disk is.
const SLOWNESS: u64 = 100;

/// A run that goes on longer than any workload asks for.
const AGES_NS: u64 = 1 << 60;

type Replica<P> = Box<Node<Observed<P>, SimulatedIo>>;

/// What runs on a machine.
enum Process<P: Protocol> {
    Replica(Replica<P>),
    Load(Box<LoadThread<SimulatedIo>>),
    /// Crashed.
    Nothing,
}

struct Machine<P: Protocol> {
    process: Process<P>,
    port: Rc<RefCell<Port>>,
    clock: Clock,
    /// Which of its lives this is: what was meant for an earlier one is dropped.
    life: u32,
    /// When the turn that is due begins.
    turn_at: u64,
    busy_until: u64,
    disk: SimulatedDisk,
    /// Writes that the disk has not ended.
    writes: Vec<(u64, LogWrite)>,
    /// Faults that make it stand still, and that slow its processor and its disk.
    paused: u32,
    slow_processor: u32,
    slow_disk: u32,
}

#[derive(Debug)]
enum Event {
    /// A machine's turn, unless it has been put off or brought forward.
    Turn(usize),
    Parcel(Parcel),
    /// The disk of a machine ends a write.
    Written(usize, u32, u64),
    Fault(usize),
    /// A fault ends; for a crash: the machine it struck starts again.
    End(Fault, usize),
}

struct Scheduled {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest is the greatest, as the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// What a world has counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// A checksum of all events, in order: two runs of a plan have the same.
    pub trace: u64,
    /// Faults that struck, by action.
    pub faults: [u64; plan::Action::ALL.len()],
    /// Writes that a crash tore.
    pub torn: u64,
    /// Processes that stopped because their disk failed.
    pub stopped: u64,
    /// What the network did.
    pub traffic: Traffic,
    /// What all replicas counted, in all their lives.
    pub counters: Counters,
}

/// The world of one plan.
pub(super) struct World<P: Protocol> {
    plan: Plan,
    pub(super) now: u64,
    events: BinaryHeap<Scheduled>,
    scheduled: u64,
    machines: Vec<Machine<P>>,
    network: Network,
    random: Random,
    /// Whether faults strike, or everything heals.
    faulty: bool,
    shared: Arc<Shared>,
    pieces: Receiver<Piece>,
    pub(super) tally: Tally,
    /// Why a replica could not be started.
    pub(super) failure: Option<String>,
}

impl<P: Protocol> World<P> {
    pub(super) fn new(plan: Plan) -> Self {
        let machines = usize::from(plan.replicas) + 1;
        let random = Random::new(plan.seed ^ 0x5eed, Concern::World);
        let network = Network::new(
            plan.network,
            machines,
            Random::new(plan.seed ^ 0x5eed_5eed, Concern::World),
        );
        let (full, pieces) = unbounded();
        let (_, used) = unbounded();
        let shared = Arc::new(Shared::default());
        let recording = Recording::new(0, full, used);
        let mut world = Self {
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            machines: plan.clocks.iter().map(|&clock| Machine::new(clock)).collect(),
            network,
            random,
            faulty: true,
            shared: Arc::clone(&shared),
            pieces,
            tally: Tally::default(),
            failure: None,
            plan,
        };
        for replica in 0..world.replicas() {
            world.start(replica);
        }
        world.start_load(shared, recording);
        for (number, fault) in world.plan.faults.clone().into_iter().enumerate() {
            world.schedule(fault.at_ns, Event::Fault(number));
        }
        world
    }

    fn replicas(&self) -> usize {
        usize::from(self.plan.replicas)
    }

    fn start_load(&mut self, shared: Arc<Shared>, recording: Recording) {
        let machine = self.replicas();
        let port = self.new_life(machine);
        // The load begins when its clock shows this.
        shared.start_at_ns.store(port.borrow().now.0 + 1, atomic::Ordering::Relaxed);
        let load = LoadThread::new(
            load::Plan {
                thread: 0,
                threads: 1,
                cluster: self.plan.seed,
                key: Key::of_seed(self.plan.seed).for_clients(),
                nonces: Key::of_seed(!self.plan.seed),
                groups: vec![self.addresses()],
                load: self.plan.load.clone(),
                phases: Phases { warm_up_ns: 0, measure_ns: AGES_NS, cool_down_ns: 0 },
                seed: self.plan.seed,
                repeatable: P::SERVICE == Service::StateMachine,
                frame_bytes_max: plan::FRAME_BYTES_MAX,
            },
            SimulatedIo::new(port),
            shared,
            recording,
            || 0,
        );
        self.machines[machine].process = Process::Load(Box::new(load));
        self.turn_by(machine, self.now);
    }

    fn addresses(&self) -> Vec<Address> {
        (0..u32::from(self.plan.replicas)).map(Address::Memory).collect()
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

    fn start(&mut self, replica: usize) {
        if !matches!(self.machines[replica].process, Process::Nothing) {
            return;
        }
        let port = self.new_life(replica);
        let (io, settings) = (SimulatedIo::new(port), self.settings(replica));
        let opened = match self.plan.log {
            None => Ok(Node::new(settings, io)),
            Some(limits) => {
                let disk = self.machines[replica].disk.clone();
                Node::open(settings, io, disk, limits).map(|(node, _)| node)
            }
        };
        match opened {
            Ok(node) => {
                self.machines[replica].process = Process::Replica(Box::new(node));
                self.turn_by(replica, self.now);
            }
            Err(_) if self.machines[replica].disk.fails() => self.repair_later(replica),
            Err(sentence) => {
                let failure = || format!("replica {replica} cannot start: {sentence}");
                self.failure.get_or_insert_with(failure);
            }
        }
    }

    fn settings(&self, replica: usize) -> Settings {
        let plan = &self.plan;
        let life = u64::from(self.machines[replica].life);
        Settings {
            protocol: Config {
                id: ReplicaId(u8::try_from(replica).expect("few")),
                replicas: usize::from(plan.replicas),
                window: plan.window,
                retain_bytes: plan.retain_bytes,
                parameters: plan.parameters,
            },
            cluster: plan.seed,
            key: Key::of_seed(plan.seed),
            nonces: Key::of_seed(plan.seed ^ life << 40 ^ (replica as u64 + 1) << 32),
            group: 0,
            peers: self.addresses(),
            seed: plan.seed ^ life << 40,
            batch_ops_max: plan.batch_ops_max,
            batch_bytes_max: 64 << 10,
            linger_ns: plan.linger_ns,
            frame_bytes_max: plan::FRAME_BYTES_MAX,
            pending_ops_max: 256,
            keys_expected: 16,
            sessions_max: 64,
            snapshot_bytes: plan.snapshot_bytes,
            clients_max: 16,
            sync_each: plan.sync_each,
        }
    }

    /// The process is gone; what its disk was writing is torn.
    fn end(&mut self, replica: usize) {
        let Process::Replica(node) =
            std::mem::replace(&mut self.machines[replica].process, Process::Nothing)
        else {
            return;
        };
        self.tally.counters.add(&node.counters());
        let machine = &mut self.machines[replica];
        machine.life += 1;
        for (_, write) in std::mem::take(&mut machine.writes) {
            self.tally.torn += 1;
            machine.disk.tear(&write, &mut self.random);
        }
        let parcels = self.network.end_all(replica, self.now);
        self.send_parcels(parcels);
    }

    // Time.

    fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Scheduled { at: at.max(self.now), number: self.scheduled, event });
    }

    /// The machine has a turn at `at` or earlier.
    fn turn_by(&mut self, machine: usize, at: u64) {
        let place = &mut self.machines[machine];
        let at = at.max(place.busy_until).max(self.now);
        if at < place.turn_at {
            place.turn_at = at;
            self.schedule(at, Event::Turn(machine));
        }
    }

    /// Runs until a moment or until `done`, and says whether it was the latter.
    pub(super) fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let due = self.events.peek().is_some_and(|next| next.at <= end);
            if !due || self.failure.is_some() {
                self.now = self.now.max(end);
                return false;
            }
            let Scheduled { at, event, .. } = self.events.pop().expect("just seen");
            self.now = at;
            self.handle(event);
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Turn(machine) => {
                if self.machines[machine].turn_at == self.now {
                    self.turn(machine);
                }
            }
            Event::Parcel(parcel) => self.receive(parcel),
            Event::Written(machine, life, number) => self.written(machine, life, number),
            Event::Fault(number) => self.strike(self.plan.faults[number]),
            Event::End(fault, replica) => self.relieve(fault, replica),
        }
    }

    fn trace(&mut self, machine: usize, arrivals: u64, bytes: u64) {
        self.tally.events += 1;
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
        let (arrivals, received) = {
            let port = &mut *machine.port.borrow_mut();
            port.now = port.now.max(Time(machine.clock.local(self.now)));
            let bytes: usize = port.inbox.iter().map(Arrival::bytes).sum();
            (port.inbox.len() as u64, bytes as u64)
        };
        self.trace(number, arrivals, received);
        let machine = &mut self.machines[number];
        let deadline = match &mut machine.process {
            Process::Nothing => return,
            Process::Load(load) => load.turn().then(|| load.deadline()),
            Process::Replica(node) => node.turn().is_ok().then(|| node.deadline()),
        };
        let actions = std::mem::take(&mut machine.port.borrow_mut().outbox);
        let Some(deadline) = deadline else { return self.over(number) };
        let sent: usize = actions.iter().map(simulated::Action::bytes).sum();
        let slowness = if machine.slow_processor > 0 { SLOWNESS } else { 1 };
        let cost = self.plan.cpu.cost(arrivals, received + sent as u64) * slowness;
        machine.busy_until = self.now + cost;
        let wake = machine.clock.world(deadline.0);
        for action in actions {
            self.act(number, action, self.now + cost);
        }
        self.turn_by(number, wake);
    }

    /// A process has ended by itself: the load at its end, a replica because its disk failed.
    fn over(&mut self, number: usize) {
        if number == self.replicas() {
            let process = std::mem::replace(&mut self.machines[number].process, Process::Nothing);
            if let Process::Load(load) = process {
                load.finish();
            }
            return;
        }
        self.end(number);
        self.repair_later(number);
    }

    /// A process could not go on with its disk: it is started again when the disk is repaired.
    fn repair_later(&mut self, number: usize) {
        self.tally.stopped += 1;
        let fault = Fault {
            at_ns: self.now,
            action: plan::Action::FailDisk,
            target: Target::Replica(u8::try_from(number).expect("few")),
            for_ns: REPAIR_NS,
        };
        self.schedule(self.now + REPAIR_NS, Event::End(fault, number));
    }

    fn act(&mut self, machine: usize, action: simulated::Action, at: u64) {
        let mut parcels = Vec::new();
        match action {
            simulated::Action::Connect(link, to) => {
                parcels.extend(self.network.connect(
                    machine,
                    self.machines[machine].life,
                    link,
                    to as usize,
                    at,
                ));
            }
            simulated::Action::Send(link, bytes) => {
                self.network.send(machine, link, bytes, at, &mut parcels);
            }
            simulated::Action::Close(link) => {
                parcels.extend(self.network.close(machine, link, at));
            }
            simulated::Action::Write(write) => self.write(machine, write, at),
        }
        self.send_parcels(parcels);
    }

    // The network.

    fn send_parcels(&mut self, parcels: Vec<Parcel>) {
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
                let answer = if matches!(self.machines[to].process, Process::Nothing) {
                    self.network.refuse(end, self.now)
                } else {
                    let link = self.machines[to].port.borrow_mut().open();
                    self.arrive(to, Arrival::Accepted(link));
                    self.network.accept(end, life, link, self.now)
                };
                self.send_parcels(answer.into_iter().collect());
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
        let number = self.scheduled;
        let slowness = if self.machines[machine].slow_disk > 0 { SLOWNESS } else { 1 };
        let takes = self.plan.disk.draw(&mut self.random) * slowness;
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
        let (_, write) = place.writes.swap_remove(at.expect("a write ends once"));
        let result = if place.disk.fails() {
            place.disk.tear(&write, &mut self.random);
            Err(std::io::Error::other("the simulated disk fails"))
        } else {
            place.disk.complete(&write);
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
            disk: SimulatedDisk::default(),
            writes: Vec::new(),
            paused: 0,
            slow_processor: 0,
            slow_disk: 0,
        }
    }
}

// Faults.
impl<P: Protocol> World<P> {
    fn leader(&self) -> Option<usize> {
        self.machines.iter().position(|machine| {
            matches!(&machine.process, Process::Replica(node) if node.role() == Role::Leader)
        })
    }

    fn strike(&mut self, fault: Fault) {
        if !self.faulty {
            return;
        }
        let replica = match fault.target {
            Target::Leader => self.leader().unwrap_or(0),
            Target::Replica(id) => usize::from(id),
        };
        if matches!(self.machines[replica].process, Process::Nothing) {
            return;
        }
        let kind = plan::Action::ALL.iter().position(|&action| action == fault.action);
        self.tally.faults[kind.expect("listed")] += 1;
        let machine = &mut self.machines[replica];
        match fault.action {
            plan::Action::Crash => self.end(replica),
            plan::Action::Pause => machine.paused += 1,
            plan::Action::SlowProcessor => machine.slow_processor += 1,
            plan::Action::SlowDisk => machine.slow_disk += 1,
            plan::Action::FailDisk => {
                let operations = self.random.below(20);
                // Started again when the process has noticed.
                return machine.disk.fail_after(operations);
            }
            plan::Action::Isolate
            | plan::Action::Deafen
            | plan::Action::Mute
            | plan::Action::Separate => {
                for (from, to) in self.ways(fault.action, replica) {
                    self.network.block(from, to);
                }
            }
        }
        self.schedule(self.now + fault.for_ns, Event::End(fault, replica));
    }

    fn relieve(&mut self, fault: Fault, replica: usize) {
        let machine = &mut self.machines[replica];
        match fault.action {
            plan::Action::Crash => self.start(replica),
            plan::Action::FailDisk => {
                machine.disk.repair();
                self.start(replica);
            }
            plan::Action::Pause => {
                machine.paused -= 1;
                self.turn_by(replica, self.now);
            }
            plan::Action::SlowProcessor => machine.slow_processor -= 1,
            plan::Action::SlowDisk => machine.slow_disk -= 1,
            plan::Action::Isolate
            | plan::Action::Deafen
            | plan::Action::Mute
            | plan::Action::Separate => {
                for (from, to) in self.ways(fault.action, replica) {
                    let parcels = self.network.unblock(from, to, self.now);
                    self.send_parcels(parcels);
                }
            }
        }
    }

    /// The ways that a fault of the network blocks, each from one machine to another.
    fn ways(&self, action: plan::Action, replica: usize) -> Vec<(usize, usize)> {
        let replicas = self.replicas();
        let others = || (0..replicas).filter(move |&other| other != replica);
        let next = (replica + 1) % replicas;
        match action {
            plan::Action::Isolate => (0..=replicas)
                .filter(|&other| other != replica)
                .flat_map(|other| [(other, replica), (replica, other)])
                .collect(),
            plan::Action::Deafen => others().map(|other| (other, replica)).collect(),
            plan::Action::Mute => others().map(|other| (replica, other)).collect(),
            plan::Action::Separate if next == replica => Vec::new(),
            plan::Action::Separate => vec![(replica, next), (next, replica)],
            plan::Action::Crash
            | plan::Action::Pause
            | plan::Action::SlowProcessor
            | plan::Action::SlowDisk
            | plan::Action::FailDisk => Vec::new(),
        }
    }

    /// No more faults: all that struck comes to its end at once, but `frozen` replicas stand still.
    pub(super) fn heal(&mut self, frozen: &[usize]) {
        self.faulty = false;
        self.network.calm();
        let ends: Vec<(Fault, usize)> = self
            .events
            .drain()
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|scheduled| match scheduled.event {
                Event::End(fault, replica) => Some((fault, replica)),
                Event::Written(..) => {
                    // A slow disk would take minutes.
                    self.events.push(Scheduled { at: self.now, ..scheduled });
                    None
                }
                Event::Turn(_) | Event::Parcel(_) | Event::Fault(_) => {
                    self.events.push(scheduled);
                    None
                }
            })
            .collect();
        for machine in &self.machines {
            machine.disk.repair();
        }
        for (fault, replica) in ends {
            self.relieve(fault, replica);
        }
        for &replica in frozen {
            self.machines[replica].paused += 1;
        }
    }

    /// Frozen replicas go on.
    pub(super) fn thaw(&mut self, frozen: &[usize]) {
        for &replica in frozen {
            self.machines[replica].paused -= 1;
            self.turn_by(replica, self.now);
        }
    }
}

// What can be seen from outside.
impl<P: Protocol> World<P> {
    /// Operations that have ended so far.
    pub(super) fn completed(&self) -> u64 {
        self.shared.completed.load(atomic::Ordering::Relaxed)
    }

    /// Clients begin nothing more; what they wait for is given up.
    pub(super) fn stop_load(&self) {
        self.shared.stop.store(true, atomic::Ordering::Relaxed);
    }

    /// Whether the clients have stopped, and all replicas run and have applied the same.
    pub(super) fn is_settled(&self) -> bool {
        let mut applied = None;
        matches!(self.machines[self.replicas()].process, Process::Nothing)
            && self.nodes().count() == self.replicas()
            && self.nodes().all(|node| {
                let own = node.applied();
                own.is_some() && *applied.get_or_insert(own) == own
            })
    }

    /// Whether replicas that have applied the same slots hold the same.
    pub(super) fn is_alike(&self) -> bool {
        let mut checksum = None;
        self.nodes().all(|node| {
            let own = node.checksum();
            *checksum.get_or_insert(own) == own
        })
    }

    fn nodes(&self) -> impl Iterator<Item = &Node<Observed<P>, SimulatedIo>> {
        self.machines.iter().filter_map(|machine| match &machine.process {
            Process::Replica(node) => Some(&**node),
            Process::Load(_) | Process::Nothing => None,
        })
    }

    /// What the replicas say of themselves, for a run that got stuck.
    pub(super) fn describe(&self) -> String {
        let lines: Vec<String> = (0..self.replicas())
            .map(|replica| match &self.machines[replica].process {
                Process::Replica(node) => {
                    let paused = if self.machines[replica].paused > 0 { ", frozen" } else { "" };
                    format!("{replica}: {:?}, applied {:?}{paused}", node.role(), node.applied())
                }
                Process::Load(_) | Process::Nothing => format!("{replica}: down"),
            })
            .collect();
        lines.join("; ")
    }

    /// Ends the world: what was counted and the history of its clients.
    pub(super) fn finish(mut self) -> (Tally, Vec<Operation>, Seen) {
        let load = self.replicas();
        if matches!(self.machines[load].process, Process::Load(_)) {
            self.over(load);
        }
        for replica in 0..load {
            if let Process::Replica(node) = &self.machines[replica].process {
                self.tally.counters.add(&node.counters());
            }
        }
        self.tally.traffic = self.network.traffic;
        let operations = self.pieces.try_iter().flat_map(|piece| match piece {
            Piece::Operations(operations) => operations,
            Piece::Latencies(_) => Vec::new(),
        });
        (self.tally, operations.collect(), Seen::end())
    }
}
