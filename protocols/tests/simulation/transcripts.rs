//! Transcripts: what a few replicas do, command by command, and every message that follows.
//!
//! Each file of `tests/transcripts` is commands (`> ...`), each with the lines that it leads to.
//! `UPDATE=1 cargo test -p synod-protocols` writes the files anew.
//!
//! | command | effect |
//! |---|---|
//! | `cluster N key=value ...` | N replicas start; their disks have written |
//! | `timeout R` | time goes on to R's deadline, which has come |
//! | `put R KEY NUMBER`, `get R KEY` | a client's command reaches R |
//! | `get R KEY SLOT` | the same, and the client was told of that slot before |
//! | `transact R KEY[=NUMBER] ...` | a transaction that reads keys, and writes those with a number; `KEY+NUMBER` and `KEY-NUMBER` add |
//! | `write R` | R's disk has written everything appended |
//! | `deliver R R [N]`, `drop R R` | what the first has sent to the second arrives, or never does |
//! | `deliver` | everything sent arrives, and what that leads to, until nothing is on its way |
//! | `crash R`, `start R`, `checkpoint R` | |
//! | `transfer R TO` | an administrator asks R to hand leadership over |
//! | `add R VOTER`, `remove R VOTER` | an administrator asks R to change who votes |
//! | `lose R` | R crashes, and starts with an empty disk: it knows that it has lost its promises |

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use synod_protocols::abd::Abd;
use synod_protocols::command::{Command, Commands, Op, SessionId};
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{Change, Default as DefaultValue, Input, Protocol, Unit};
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::types::{ReplicaId, Slot, version_of};
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::wire::Wire;
use synod_protocols::zab::Zab;

use crate::cluster::Cluster;
use crate::disk::Disk;
use crate::plan::Plan;
use crate::replica::{Output, Packet, Replica};

struct Script<P> {
    now: u64,
    replicas: Vec<Replica<P>>,
    on_their_way: VecDeque<(ReplicaId, ReplicaId, Packet)>,
    commands: u64,
    /// The version that a get says its client was told.
    told: u64,
    committed: BTreeMap<Slot, Rc<[u8]>>,
    text: String,
}

impl<P: Protocol> Script<P> {
    fn cluster(options: &[&str]) -> Self {
        let mut plan = Plan::draw::<P>(0);
        plan.replicas = number(options[0]);
        plan.window = 4;
        let majority = plan.replicas as u64 / 2 + 1;
        for (place, parameter) in plan.parameters.iter_mut().zip(P::PARAMETERS) {
            *place = match parameter.default {
                DefaultValue::Majority => majority,
                DefaultValue::Fixed(flag) if parameter.unit == Unit::Flag => flag,
                DefaultValue::Fixed(count) if P::NAME == Quorum::NAME => match parameter.unit {
                    Unit::Count => count,
                    Unit::Duration | Unit::Flag | Unit::Choice(_) => *place,
                },
                DefaultValue::Fixed(_) => *place,
            };
        }
        if P::NAME == Zab::NAME {
            plan.parameters[2] = 0;
        }
        for option in &options[1..] {
            let Some((name, value)) = option.split_once('=') else {
                panic!("there is no option {option}");
            };
            let parameter = P::PARAMETERS.iter().position(|parameter| parameter.name == name);
            match (name, parameter) {
                ("observers", _) => plan.observers = number(value),
                ("witnesses", _) => plan.witnesses = number(value),
                ("retain_bytes", _) => plan.retain_bytes = number(value) as u64,
                (_, Some(index)) => plan.parameters[index] = number(value) as u64,
                (_, None) => panic!("there is no option {name}"),
            }
        }
        let mut replicas = Cluster::<P>::new(plan).replicas;
        replicas.iter_mut().for_each(|replica| replica.clock_ahead_ns = 0);
        let on_their_way = VecDeque::new();
        let committed = BTreeMap::new();
        let (commands, told, text) = (0, 0, String::new());
        Self { now: 0, replicas, on_their_way, commands, told, committed, text }
    }

    fn step(&mut self, index: usize, act: impl FnOnce(&mut Replica<P>, u64, &mut Output)) {
        let mut output = Output::default();
        act(&mut self.replicas[index], self.now, &mut output);
        self.replicas[index].propose(self.now, &mut output);
        let from = self.replicas[index].config.id;
        for (slot, batch) in output.committed {
            let what = if batch.is_empty() { "nothing" } else { "a batch" };
            let first = self.committed.entry(slot).or_insert_with(|| batch.clone());
            assert_eq!(*first, batch, "two values are chosen for {slot:?}");
            self.line(&format!("{from} commits {what} in slot {}", slot.0));
        }
        for answer in output.answers {
            let (sequence, outcome) = (answer.sequence, answer.outcome);
            let value = &outcome.value;
            self.line(&format!("{from} answers {sequence}: {:?} {value:?}", outcome.status));
        }
        for (to, packet) in output.packets {
            let text = match &packet {
                Packet::Message { message, .. } => {
                    format!("{:?}", P::Message::decode(message).expect("it was encoded"))
                }
                Packet::Snapshot(store) => format!("Snapshot below slot {}", store.applied.0),
            };
            self.line(&format!("{from} -> {to} {text}"));
            self.on_their_way.push_back((from, to, packet));
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("text grows");
    }

    fn run(&mut self, command: &[&str]) {
        let index = command.get(1).map(|replica| number(replica));
        match (command[0], index) {
            ("timeout", Some(index)) => {
                self.now = self.now.max(self.replicas[index].deadline().expect("it has one"));
                self.step(index, |replica, now, output| replica.step(Input::Timeout, now, output));
            }
            ("put", Some(index)) => {
                let value = (number(command[3]) as u64).to_le_bytes();
                self.request(index, number(command[2]) as u64, Op::Put, &value);
            }
            ("transact", Some(index)) => {
                let parts = command[2..].iter().flat_map(|part| part_of_transaction(part));
                let parts: Vec<u8> = parts.collect();
                let first = Commands::new(&parts).next().expect("it has parts").key;
                self.request(index, first, Op::Transact, &parts);
            }
            ("get", Some(index)) => {
                self.told =
                    command.get(3).map_or(0, |slot| version_of(Slot(number(slot) as u64), 0));
                self.request(index, number(command[2]) as u64, Op::Get, &[]);
                self.told = 0;
            }
            ("write", Some(index)) => self.write(index),
            ("start", Some(index)) => self.step(index, Replica::start),
            ("crash", Some(index)) => self.replicas[index].crash(),
            ("lose", Some(index)) => {
                self.replicas[index].crash();
                self.replicas[index].disk = Disk::default();
                self.replicas[index].config.lost = true;
                self.step(index, Replica::start);
            }
            ("transfer", Some(index)) => {
                self.change(index, Change::Transfer(replica(command[2])));
            }
            ("add", Some(index)) => self.change(index, Change::Add(replica(command[2]))),
            ("remove", Some(index)) => self.change(index, Change::Remove(replica(command[2]))),
            ("checkpoint", Some(index)) => self.step(index, Replica::checkpoint),
            ("deliver", None) => self.deliver_all(),
            ("deliver", Some(from)) => {
                let mut packets = self.take(from, number(command[2]));
                let count = command.get(3).map_or(packets.len(), |count| number(count));
                let later = packets.split_off(count);
                self.on_their_way.extend(later);
                for packet in packets {
                    self.receive(packet);
                }
            }
            ("drop", Some(from)) => drop(self.take(from, number(command[2]))),
            _ => panic!("there is no command {command:?}"),
        }
    }

    fn request(&mut self, index: usize, key: u64, op: Op, value: &[u8]) {
        self.commands += 1;
        let (session, sequence) = (SessionId::new(1, 0), self.commands);
        let mut bytes = Vec::new();
        Command { session, sequence, key, op, expected: self.told, value }.encode(&mut bytes);
        self.step(index, |replica, now, output| replica.request(bytes, now, output));
    }

    fn change(&mut self, index: usize, change: Change) {
        let input = Input::Change(change);
        self.step(index, |replica, now, output| replica.step(input, now, output));
    }

    fn write(&mut self, index: usize) {
        if self.replicas[index].disk.begin_flush() {
            self.step(index, |replica, _, output| replica.flushed(output));
        }
    }

    /// Everything arrives and every disk writes until nothing is left to do.
    fn deliver_all(&mut self) {
        loop {
            (0..self.replicas.len()).for_each(|index| self.write(index));
            let Some(packet) = self.on_their_way.pop_front() else { return };
            self.receive(packet);
        }
    }

    fn take(&mut self, from: usize, to: usize) -> Vec<(ReplicaId, ReplicaId, Packet)> {
        let on_their_way = std::mem::take(&mut self.on_their_way);
        let (taken, left) = on_their_way
            .into_iter()
            .partition(|(sender, receiver, _)| sender.index() == from && receiver.index() == to);
        self.on_their_way = left;
        let taken: VecDeque<_> = taken;
        taken.into()
    }

    fn receive(&mut self, (from, to, packet): (ReplicaId, ReplicaId, Packet)) {
        self.step(to.index(), |replica, now, output| replica.receive(from, packet, now, output));
    }
}

/// One part of a transaction: `KEY` reads, `KEY=NUMBER` writes, `KEY+NUMBER` and `KEY-NUMBER` add.
fn part_of_transaction(part: &str) -> Vec<u8> {
    let (key, rest) = part.split_at(part.find(['=', '+', '-']).unwrap_or(part.len()));
    let value = rest.get(1..).map(|value| number(value) as u64);
    let (op, value) = match rest.chars().next() {
        None => (Op::Get, None),
        Some('-') => (Op::Add, value.map(u64::wrapping_neg)),
        Some('+') => (Op::Add, value),
        Some(_) => (Op::Put, value),
    };
    let value = value.map(u64::to_le_bytes);
    let mut bytes = Vec::new();
    Command {
        session: SessionId::new(1, 0),
        sequence: 1,
        key: number(key) as u64,
        op,
        expected: 0,
        value: value.as_ref().map_or(&[], |value| &value[..]),
    }
    .encode(&mut bytes);
    bytes
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId(u8::try_from(number(name)).expect("a few"))
}

/// A number, or a replica's name.
fn number(word: &str) -> usize {
    word.trim_start_matches('r').parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

/// Runs the commands of a transcript and returns it as it should be.
fn replay<P: Protocol>(transcript: &str) -> String {
    let mut text = String::new();
    let mut script: Option<Script<P>> = None;
    for line in transcript.lines() {
        if line.starts_with('#') || line.is_empty() {
            writeln!(text, "{line}").expect("text grows");
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        let words: Vec<&str> = command.split_whitespace().collect();
        if words[0] == "cluster" {
            let mut cluster = Script::cluster(&words[1..]);
            for index in 0..cluster.replicas.len() {
                cluster.step(index, Replica::start);
                cluster.write(index);
            }
            script = Some(cluster);
        } else {
            script.as_mut().expect("the cluster comes first").run(&words);
        }
        let said = std::mem::take(&mut script.as_mut().expect("just made").text);
        write!(text, "{line}\n{said}").expect("text grows");
    }
    text
}

fn check<P: Protocol>() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(P::NAME);
    let mut files = 0;
    for file in fs::read_dir(&folder).expect("the folder of transcripts") {
        let path = file.expect("a file").path();
        let expected = fs::read_to_string(&path).expect("a text file");
        let actual = replay::<P>(&expected);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, actual).expect("the file can be written");
        } else {
            assert_eq!(expected, actual, "{} differs; UPDATE=1 rewrites it", path.display());
        }
        files += 1;
    }
    assert!(files > 0);
}

#[test]
fn multi_paxos_transcripts() {
    check::<MultiPaxos>();
}

#[test]
fn paxos_transcripts() {
    check::<Paxos>();
}

#[test]
fn raft_transcripts() {
    check::<Raft>();
}

#[test]
fn abd_transcripts() {
    check::<Abd>();
}

#[test]
fn quorum_transcripts() {
    check::<Quorum>();
}

#[test]
fn two_phase_commit_transcripts() {
    check::<TwoPhaseCommit>();
}

#[test]
fn paxos_commit_transcripts() {
    check::<PaxosCommit>();
}

#[test]
fn viewstamped_transcripts() {
    check::<Viewstamped>();
}

#[test]
fn zab_transcripts() {
    check::<Zab>();
}
