//! Two proposers of classic Paxos in lockstep (*Paxos Made Simple*, section 2.4): every message takes
//! as long as every other, and so does every write. A disk that is slower than the network leaves time
//! to get in between a promise and the vote that it is for.

use std::collections::BTreeMap;

use synod_protocols::command::{Command, Op, SessionId};
use synod_protocols::paxos::{Message, Paxos};
use synod_protocols::protocol::{Input, Protocol};
use synod_protocols::types::ReplicaId;
use synod_protocols::wire::Wire;

use crate::cluster::Cluster;
use crate::plan::{MILLISECOND, Plan};
use crate::replica::{Output, Packet, Replica};

/// How long each message and each write take.
const MESSAGE_NS: u64 = MILLISECOND;
const WRITE_NS: u64 = 10 * MILLISECOND;

/// How much later the second proposer begins: before it hears of the first.
const LATER_NS: u64 = MESSAGE_NS / 2;

/// How long the duel is watched.
const HORIZON_NS: u64 = 10_000 * MILLISECOND;

enum Event {
    Packet(ReplicaId, ReplicaId, Packet),
    Written(usize),
    Put(usize),
    Look(usize),
}

/// What came of a duel.
#[derive(Default, Debug)]
struct Duel {
    ballots: u64,
    answers: Vec<ReplicaId>,
}

struct World {
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    replicas: Vec<Replica<Paxos>>,
    duel: Duel,
}

impl World {
    fn new(randomised_backoff: bool) -> Self {
        let mut plan = Plan::draw::<Paxos>(1);
        plan.replicas = 3;
        plan.window = 1;
        for (place, parameter) in plan.parameters.iter_mut().zip(Paxos::PARAMETERS) {
            *place = match parameter.name {
                // Nothing gets lost, and nobody takes over.
                "retry" => 2 * HORIZON_NS,
                "patience" => 5 * HORIZON_NS,
                "backoff" => MILLISECOND,
                "randomised_backoff" => u64::from(randomised_backoff),
                name => panic!("{name} is new"),
            };
        }
        let mut replicas = Cluster::<Paxos>::new(plan).replicas;
        replicas.iter_mut().for_each(|replica| replica.clock_ahead_ns = 0);
        let (events, duel) = (BTreeMap::new(), Duel::default());
        Self { now: 0, events, scheduled: 0, replicas, duel }
    }

    fn after(&mut self, delay_ns: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + delay_ns, self.scheduled), event);
    }

    fn step(&mut self, index: usize, act: impl FnOnce(&mut Replica<Paxos>, u64, &mut Output)) {
        let mut output = Output::default();
        act(&mut self.replicas[index], self.now, &mut output);
        self.replicas[index].propose(self.now, &mut output);
        if self.replicas[index].disk.begin_flush() {
            self.after(WRITE_NS, Event::Written(index));
        }
        let from = self.replicas[index].config.id;
        self.duel.answers.extend(output.answers.iter().map(|_| from));
        for (to, packet) in output.packets {
            if let Packet::Message { message, .. } = &packet
                && let Some(Message::Prepare { .. }) = Message::decode(message)
            {
                self.duel.ballots += u64::from(to == from);
            }
            let delay_ns = if to == from { 0 } else { MESSAGE_NS };
            self.after(delay_ns, Event::Packet(from, to, packet));
        }
        if let Some(at) = self.replicas[index].deadline() {
            self.after(at.saturating_sub(self.now), Event::Look(index));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Packet(from, to, packet) => self.step(to.index(), |replica, now, output| {
                replica.receive(from, packet, now, output)
            }),
            Event::Written(index) => self.step(index, |replica, _, output| replica.flushed(output)),
            Event::Put(index) => {
                let session = SessionId::new(1, u32::try_from(index).expect("few"));
                let (key, value) = (index as u64, &[7; 8]);
                let mut bytes = Vec::new();
                Command { session, sequence: 1, key, op: Op::Put, expected: 0, value }
                    .encode(&mut bytes);
                self.step(index, |replica, now, output| replica.request(bytes, now, output));
            }
            Event::Look(index) => {
                if self.replicas[index].deadline().is_some_and(|at| at <= self.now) {
                    self.step(index, |replica, now, output| {
                        replica.step(Input::Timeout, now, output);
                    });
                }
            }
        }
    }
}

/// Lets two replicas propose, one a little after the other.
fn duel(randomised_backoff: bool) -> Duel {
    let mut world = World::new(randomised_backoff);
    (0..3).for_each(|index| world.step(index, Replica::start));
    world.after(100 * MILLISECOND, Event::Put(0));
    world.after(100 * MILLISECOND + LATER_NS, Event::Put(1));
    while let Some(((at, _), event)) = world.events.pop_first()
        && at < HORIZON_NS
        && world.duel.answers.len() < 2
    {
        world.now = at;
        world.handle(event);
    }
    world.duel
}

#[test]
fn in_lockstep_nothing_is_decided_without_random_waits() {
    let duel = duel(false);
    assert_eq!(duel.answers, [], "two proposers in lockstep stop each other: {duel:?}");
    assert!(duel.ballots > 500, "they go on and on: {duel:?}");
}

#[test]
fn random_waits_end_a_duel() {
    let duel = duel(true);
    assert_eq!(duel.answers.len(), 2, "both are answered: {duel:?}");
    assert!(duel.ballots < 50, "after a few ballots: {duel:?}");
}
