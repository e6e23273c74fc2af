//! A protocol that is watched: the same steps, and after each its invariants are checked and what it
//! committed is compared with what others did.
//!
//! The node under it is unchanged, so the watcher stands between the node and the protocol on both
//! sides: it is the [`Protocol`] that the node drives and the [`Context`] that the protocol sees.
//! A node makes its protocol itself, so what all replicas of a simulated world share lies in the
//! thread, which runs one world at a time.

#[cfg(test)]
mod broken;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use synod_protocols::command::Status;
use synod_protocols::protocol::{
    Config, Conflict, Consistency, Context, Doubt, Hints, Input, Parameter, Protocol, Reads,
    Register, Role, Service,
};
use synod_protocols::types::{Payload, ReplicaId, Replicas, Slot, Tag, Time};

#[cfg(test)]
use super::mutation::Mutation;
use super::trace::{Trace, TraceLine};

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// What the replicas of a world did.
#[derive(Debug, Default)]
pub struct Seen {
    /// The group of the replica that starts.
    group: u16,
    /// For each group the checksum of what was first committed in each slot.
    slots: BTreeMap<(u16, Slot), u32>,
    /// The checksum of what was first written with each key, of whatever group, and tag.
    registers: BTreeMap<(u64, Tag), u32>,
    /// What two replicas do not agree on, if anything.
    pub disagreement: Option<String>,
    /// Times that a replica came to know of other voters.
    pub changes: u64,
    /// Times that a replica became the leader.
    pub elections: u64,
    /// Times that a replica installed another's snapshot.
    pub installs: u64,
    /// Records replayed by recoveries.
    pub replayed: u64,
    /// Steps of all protocols.
    pub steps: u64,
    /// The messages of the run, if they are wanted.
    trace: Option<Trace>,
}

impl Seen {
    /// Starts a new world on this thread.
    pub fn begin(trace: bool) {
        let trace = trace.then(Trace::default);
        SEEN.with_borrow_mut(|seen| *seen = Self { trace, ..Self::default() });
    }

    /// The messages of the run in order of time; none if they were not wanted.
    #[must_use]
    pub fn into_trace(self) -> Vec<TraceLine> {
        self.trace.map_or_else(Vec::new, Trace::finish)
    }

    /// The world's time, for the trace.
    pub fn tick(now_ns: u64) {
        SEEN.with_borrow_mut(|seen| {
            if let Some(trace) = &mut seen.trace {
                trace.now_ns = now_ns;
            }
        });
    }

    /// A replica of this group starts next.
    pub fn enter(group: u16) {
        SEEN.with_borrow_mut(|seen| seen.group = group);
    }

    /// Ends it and gives what was seen.
    pub fn end() -> Self {
        SEEN.take()
    }

    /// What two replicas do not agree on, if anything yet.
    pub fn disagreement() -> Option<String> {
        SEEN.with_borrow(|seen| seen.disagreement.clone())
    }

    /// Slots in which something was committed.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    fn committed(&mut self, by: ReplicaId, group: u16, slot: Slot, batch: &[u8]) {
        let checksum = crc32c::crc32c(batch);
        if *self.slots.entry((group, slot)).or_insert(checksum) != checksum {
            self.disagree(format!("{by} committed another batch in slot {}", slot.0));
        }
    }

    fn wrote(&mut self, by: ReplicaId, key: u64, tag: Tag, deleted: bool, value: &[u8]) {
        let checksum = crc32c::crc32c_append(u32::from(deleted), value);
        if *self.registers.entry((key, tag)).or_insert(checksum) != checksum {
            self.disagree(format!("{by} wrote another value of key {key} with tag {}", tag.0));
        }
    }

    fn disagree(&mut self, sentence: String) {
        self.disagreement.get_or_insert(sentence);
    }
}

/// The protocol `P`, watched.
#[derive(Debug)]
pub struct Observed<P: Protocol> {
    protocol: P,
    id: ReplicaId,
    group: u16,
    leads: bool,
    voters: Option<Replicas>,
    #[cfg(test)]
    broken: broken::Broken<P>,
}

impl<P: Protocol> Observed<P> {
    fn note(&mut self, input: &Input<P::Message>) {
        let id = self.id;
        SEEN.with_borrow_mut(|seen| {
            seen.steps += 1;
            seen.installs += u64::from(matches!(input, Input::Installed { .. }));
            let Some(trace) = &mut seen.trace else { return };
            match input {
                Input::Message { from, message, payload } => {
                    trace.handled(*from, id, describe(message, *payload));
                }
                Input::Requests(batch) => {
                    trace.happened(id, format!("Requests +{}", batch.commands));
                }
                Input::Reads(gets) => trace.happened(id, format!("Reads +{}", gets.commands)),
                Input::Started | Input::Timeout | Input::Installed { .. } | Input::Change(_) => {
                    trace.happened(id, format!("{input:?}"));
                }
            }
        });
    }
}

/// A message and the number of commands beside it.
fn describe(message: &impl fmt::Debug, payload: Payload) -> String {
    format!("{message:?} +{}", payload.commands)
}

impl<P: Protocol> Protocol for Observed<P> {
    const NAME: &'static str = P::NAME;
    const SUMMARY: &'static str = P::SUMMARY;
    const PAPER: &'static str = P::PAPER;
    const FAULT_MODEL: &'static str = P::FAULT_MODEL;
    const PARAMETERS: &'static [Parameter] = P::PARAMETERS;
    const SERVICE: Service = P::SERVICE;
    const REPLICAS_MAX: usize = P::REPLICAS_MAX;
    const REPAIRS: bool = P::REPAIRS;
    const OBSERVERS: bool = P::OBSERVERS;
    const WITNESSES: bool = P::WITNESSES;
    const CHANGES: bool = P::CHANGES;

    type Message = P::Message;
    type Record = P::Record;

    fn validate(replicas: usize, parameters: &[u64]) -> Result<(), Conflict> {
        P::validate(replicas, parameters)
    }

    fn consistency(replicas: usize, parameters: &[u64]) -> Consistency {
        P::consistency(replicas, parameters)
    }

    fn reads(parameters: &[u64]) -> Reads {
        P::reads(parameters)
    }

    fn new(config: &Config) -> Self {
        let group = SEEN.with_borrow(|seen| seen.group);
        Self {
            #[cfg(test)]
            broken: broken::Broken::new(config),
            #[cfg(test)]
            protocol: P::new(&broken::configured(config)),
            #[cfg(not(test))]
            protocol: P::new(config),
            id: config.id,
            group,
            leads: false,
            voters: None,
        }
    }

    fn replay<C: Context<Self>>(&mut self, record: P::Record, payload: Payload, cx: &mut C) {
        SEEN.with_borrow_mut(|seen| seen.replayed += 1);
        #[cfg(test)]
        let Some((record, payload)) = self.replay_broken(record, payload, cx) else { return };
        self.protocol.replay(record, payload, &mut Watch::new(self.id, self.group, cx));
        self.protocol.check();
    }

    fn step<C: Context<Self>>(&mut self, input: Input<P::Message>, cx: &mut C) {
        self.note(&input);
        #[cfg(test)]
        if self.serve_broken(&input, cx) {
            return;
        }
        #[cfg(test)]
        self.step_broken(&input, cx);
        self.protocol.step(input, &mut Watch::new(self.id, self.group, cx));
        self.protocol.check();
        let voters = self.protocol.voters();
        if voters != self.voters {
            SEEN.with_borrow_mut(|seen| seen.changes += u64::from(self.voters.is_some()));
        }
        self.voters = voters;
        let leads = self.protocol.role() == Role::Leader;
        if leads && !self.leads {
            SEEN.with_borrow_mut(|seen| seen.elections += 1);
        }
        self.leads = leads;
    }

    fn deadline(&self) -> Time {
        self.protocol.deadline()
    }

    fn room(&self) -> usize {
        self.protocol.room()
    }

    fn reads_room(&self) -> usize {
        self.protocol.reads_room()
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        self.protocol.checkpoint(&mut Watch::new(self.id, self.group, cx));
    }

    fn check(&self) {
        self.protocol.check();
    }

    fn role(&self) -> Role {
        self.protocol.role()
    }

    fn is_whole(&self) -> bool {
        self.protocol.is_whole()
    }

    fn doubt(&self) -> Doubt {
        self.protocol.doubt()
    }

    fn hints(&self) -> Hints {
        self.protocol.hints()
    }

    fn voters(&self) -> Option<Replicas> {
        self.protocol.voters()
    }
}

/// The node's context as the protocol under the watcher sees it.
struct Watch<'a, C> {
    id: ReplicaId,
    group: u16,
    cx: &'a mut C,
    /// Whether what the protocol commits is dropped.
    #[cfg(test)]
    silent: bool,
}

impl<'a, C> Watch<'a, C> {
    fn new(id: ReplicaId, group: u16, cx: &'a mut C) -> Self {
        Self {
            id,
            group,
            cx,
            #[cfg(test)]
            silent: false,
        }
    }
}

impl<C> Watch<'_, C> {
    fn note_sent(&self, to: ReplicaId, message: &impl fmt::Debug, payload: Payload) {
        SEEN.with_borrow_mut(|seen| {
            if let Some(trace) = &mut seen.trace {
                trace.sent(self.id, to, describe(message, payload));
            }
        });
    }
}

impl<P: Protocol, C: Context<Observed<P>>> Context<P> for Watch<'_, C> {
    fn now(&self) -> Time {
        self.cx.now()
    }

    fn random(&mut self) -> u64 {
        self.cx.random()
    }

    fn append(&mut self, record: P::Record, payload: Payload) {
        self.cx.append(record, payload);
    }

    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        self.note_sent(to, &message, payload);
        #[cfg(test)]
        if Mutation::SendsEarly.is_on() {
            return self.cx.send_now(to, message, payload);
        }
        self.cx.send(to, message, payload);
    }

    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        self.note_sent(to, &message, payload);
        self.cx.send_now(to, message, payload);
    }

    fn commit(&mut self, slot: Slot, batch: Payload, reply: bool) {
        #[cfg(test)]
        if self.silent {
            return;
        }
        let bytes = self.cx.bytes(batch);
        SEEN.with_borrow_mut(|seen| seen.committed(self.id, self.group, slot, bytes));
        self.cx.commit(slot, batch, reply);
    }

    fn serve(&mut self, gets: Payload) {
        self.cx.serve(gets);
    }

    fn redirect(&mut self, batch: Payload, leader: Option<ReplicaId>) {
        self.cx.redirect(batch, leader);
    }

    fn retain(&mut self, payload: Payload) {
        self.cx.retain(payload);
    }

    fn release(&mut self, payload: Payload) {
        self.cx.release(payload);
    }

    fn send_snapshot(&mut self, to: ReplicaId) {
        self.cx.send_snapshot(to);
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        self.cx.bytes(payload)
    }

    fn store(&mut self, bytes: &[u8]) -> Payload {
        self.cx.store(bytes)
    }

    fn register(&self, key: u64) -> Register<'_> {
        self.cx.register(key)
    }

    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload) {
        let bytes = self.cx.bytes(value);
        SEEN.with_borrow_mut(|seen| seen.wrote(self.id, key, tag, deleted, bytes));
        self.cx.write_register(key, tag, deleted, value);
    }

    fn reply(&mut self, session: u64, sequence: u64, status: Status, tag: Tag, value: Payload) {
        self.cx.reply(session, sequence, status, tag, value);
    }
}
