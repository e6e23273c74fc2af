//! Nanoseconds per step of a protocol alone: batches of 64 puts of 16 bytes, no engine around.
//!
//! A context in memory takes the place of the engine: it counts what is appended and committed,
//! keeps what is sent and holds payloads like the arena. So a step costs what the protocol does,
//! and a few nanoseconds for each verb.

#![expect(clippy::wildcard_enum_match_arm, reason = "only the messages that are timed matter")]
#![allow(missing_docs, reason = "the macros of criterion make public items without a comment")]

mod world;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_protocols::abd::{Abd, Message as AbdMessage};
use synod_protocols::command::{Command, Op, SessionId};
use synod_protocols::multi_paxos::{Message as PaxosMessage, MultiPaxos};
use synod_protocols::protocol::{Config, Input, PARAMETERS_MAX, Protocol};
use synod_protocols::types::{Payload, ReplicaId};
use world::{Sent, World, timed};

const COMMANDS: u32 = 64;

/// Steps that are timed together: the clock costs as much as a step.
const STEPS: usize = 32;

const LEADER: ReplicaId = ReplicaId(0);
const FOLLOWER: ReplicaId = ReplicaId(1);

/// Three replicas that have started, and heard all that they had to say about it.
fn group<P: Protocol>(parameters: &[u64]) -> (Vec<P>, World<P>) {
    let mut world = World::new();
    let mut all = [0; PARAMETERS_MAX];
    all[..parameters.len()].copy_from_slice(parameters);
    let mut replicas: Vec<P> = (0..3)
        .map(|id| {
            let (window, retain_bytes) = (2 * STEPS, 1 << 20);
            P::new(&Config {
                id: ReplicaId(id),
                replicas: 3,
                window,
                retain_bytes,
                log_records: usize::MAX,
                parameters: all,
                observers: 0,
                witnesses: 0,
                lost: false,
            })
        })
        .collect();
    for (id, replica) in (0..).map(ReplicaId).zip(&mut replicas) {
        world.step(replica, id, Input::Started);
    }
    // The first leader takes its place at once, which others learn from its messages.
    if replicas[0].deadline() <= world.time() {
        world.step(&mut replicas[0], LEADER, Input::Timeout);
    }
    world.deliver_all(&mut replicas);
    (replicas, world)
}

/// 64 puts of 64 sessions.
fn batch<P: Protocol>(world: &mut World<P>) -> Payload {
    let mut bytes = Vec::new();
    for number in 0..COMMANDS {
        let (session, key) = (SessionId::new(1, number), u64::from(number) * 977);
        let put = Command { session, sequence: 1, key, op: Op::Put, expected: 0, value: &[7; 16] };
        put.encode(&mut bytes);
    }
    world.hold(&bytes, COMMANDS)
}

fn proposed(world: &World<MultiPaxos>) -> Vec<Sent<MultiPaxos>> {
    let is_proposal = |sent: &&Sent<MultiPaxos>| {
        sent.to == FOLLOWER && matches!(sent.message, PaxosMessage::Accept { .. })
    };
    world.sent().iter().filter(is_proposal).copied().collect()
}

/// One of the times of a round.
type Part = fn(&PaxosTimes) -> Duration;

/// The parts of one round of Multi-Paxos, each for [`STEPS`] slots.
#[derive(Default)]
struct PaxosTimes {
    propose: Duration,
    accept: Duration,
    commit: Duration,
}

/// Carries `STEPS` batches from the request to the commit at the leader and at one follower.
fn paxos_round(
    replicas: &mut [MultiPaxos],
    world: &mut World<MultiPaxos>,
    batch: Payload,
    times: &mut PaxosTimes,
) {
    let (leader, follower) = replicas.split_at_mut(1);
    let (leader, follower) = (&mut leader[0], &mut follower[0]);
    times.propose += timed(|| {
        for _ in 0..STEPS {
            world.step(leader, LEADER, Input::Requests(batch));
        }
    });
    let proposals = proposed(world);
    assert_eq!(proposals.len(), STEPS);
    world.forget_sent();
    times.accept += timed(|| {
        for Sent { message, .. } in &proposals {
            let input = Input::Message { from: LEADER, message: *message, payload: batch };
            world.step(follower, FOLLOWER, input);
        }
    });
    world.forget_sent();
    let votes: Vec<_> = proposals
        .iter()
        .filter_map(|sent| match sent.message {
            PaxosMessage::Accept { ballot, slot, .. } => {
                Some(PaxosMessage::Accepted { ballot, slot })
            }
            _ => None,
        })
        .collect();
    let vote = |from, message| Input::Message { from, message, payload: Payload::EMPTY };
    votes.iter().for_each(|&message| world.step(leader, LEADER, vote(LEADER, message)));
    let before = world.committed();
    times.commit += timed(|| {
        for &message in &votes {
            world.step(leader, LEADER, vote(FOLLOWER, message));
        }
    });
    assert_eq!(world.committed() - before, STEPS as u64);
    world.forget_sent();
}

fn multi_paxos(criterion: &mut Criterion) {
    let (mut replicas, mut world) = group::<MultiPaxos>(&[20_000_000, 200_000_000, 2, 2]);
    let batch = batch(&mut world);
    let mut group = criterion.benchmark_group("multi_paxos");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    let parts: [(&str, Part); 3] = [
        ("leader: requests", |times| times.propose),
        ("follower: accept", |times| times.accept),
        ("leader: accepted, commits", |times| times.commit),
    ];
    for (name, part) in parts {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut times = PaxosTimes::default();
                let rounds = iterations.div_ceil(STEPS as u64);
                for _ in 0..rounds {
                    paxos_round(&mut replicas, &mut world, batch, &mut times);
                }
                part(&times).mul_f64(iterations as f64 / (rounds * STEPS as u64) as f64)
            });
        });
    }
    group.finish();
}

/// What the coordinator says to the follower when it handles a batch: a question, and after the
/// answers of a majority the new values.
fn abd_messages(
    replicas: &mut [Abd],
    world: &mut World<Abd>,
    batch: Payload,
) -> (Sent<Abd>, Sent<Abd>) {
    world.step(&mut replicas[0], LEADER, Input::Requests(batch));
    let mut query = None;
    let mut write = None;
    while let Some(sent) = world.take_sent() {
        if sent.to == FOLLOWER {
            match sent.message {
                AbdMessage::Query { .. } => query = Some(sent),
                AbdMessage::Write { .. } => write = Some(sent),
                _ => {}
            }
        }
        // The payloads of these two stay held: they are used again and again.
        let Sent { from, to, message, payload } = sent;
        let replica = &mut replicas[to.index()];
        world.step(replica, to, Input::Message { from, message, payload });
    }
    (query.expect("it asks first"), write.expect("then it writes"))
}

fn abd(criterion: &mut Criterion) {
    let (mut replicas, mut world) = group::<Abd>(&[50_000_000]);
    let batch = batch(&mut world);
    let (query, write) = abd_messages(&mut replicas, &mut world, batch);
    let follower = &mut replicas[FOLLOWER.index()];
    let mut group = criterion.benchmark_group("abd");
    group.throughput(Throughput::Elements(COMMANDS.into()));
    for (name, sent) in [("replica: query", query), ("replica: write", write)] {
        let Sent { from, message, payload, .. } = sent;
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                timed(|| {
                    for _ in 0..iterations {
                        world.step(follower, FOLLOWER, Input::Message { from, message, payload });
                        world.forget_sent();
                    }
                })
            });
        });
    }
    group.bench_function("coordinator: requests", |bencher| {
        bencher.iter_custom(abd_requests);
    });
    group.finish();
}

/// A coordinator that begins rounds which are never answered, as many as it has room for.
fn abd_requests(iterations: u64) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let (mut replicas, mut world) = group::<Abd>(&[50_000_000]);
        let batch = batch(&mut world);
        let steps = left.min(STEPS as u64);
        total += timed(|| {
            for _ in 0..steps {
                world.step(&mut replicas[0], LEADER, Input::Requests(batch));
            }
        });
        left -= steps;
    }
    total
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group!(name = benches; config = short(); targets = multi_paxos, abd);
criterion_main!(benches);
