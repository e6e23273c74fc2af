//! The connections of a load thread: a few for each group, each speaking to the replica that it
//! believes to lead.

use synod_protocols::protocol::Reads;
use synod_protocols::types::Time;

use super::Plan;
use super::clients::{Clients, DOUBLINGS_MAX};
use crate::frame::{self, Assembler, Kind};
use crate::greeting::{Dialling, Hello, Key, Nonces, Speaker};
use crate::io::{Address, Io, LinkId};

/// How long a connection waits before it tries the next replica.
const RECONNECT_NS: u64 = 10_000_000;

/// A frame of requests is closed when it has this many bytes.
const FRAME_BYTES: usize = 64 << 10;

/// Bytes that wait to be sent at most; requests beyond them are repeated later.
const OUTBOX_BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
struct Slot {
    group: usize,
    /// The client number of this connection.
    client: u32,
    /// Whom it speaks to.
    replica: usize,
    link: Option<LinkId>,
    connected: bool,
    /// Until the replica has answered: nothing is asked before.
    greeting: Option<Dialling>,
    /// When to connect, while there is no link.
    connect_at: Time,
    /// When the replica last said something, or this side turned to it.
    heard_at: Time,
    /// How often in a row a silent replica was left, and none has answered an operation since.
    silences: u8,
    assembler: Option<Assembler>,
    outbox: Vec<u8>,
    requests: Option<(usize, u32)>,
    doomed: bool,
}

/// Connections that a client has in each group for each that the workload names.
#[must_use]
pub fn lanes(reads: Reads) -> usize {
    match reads {
        Reads::Ordered => 1,
        Reads::OfLeader | Reads::OfAny | Reads::Behind => 2,
    }
}

/// All connections of a thread: `connections` for each group, in the order of groups; and where gets
/// go by themselves, behind those of each group as many for gets.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    groups: Vec<Vec<Address>>,
    connections: usize,
    /// 2 where gets have connections of their own, 1 where they have not.
    lanes: usize,
    cluster: u64,
    key: Key,
    nonces: Nonces,
    /// Whether a request may be sent twice.
    repeatable: bool,
    /// The longest frame that a replica takes.
    frame_bytes_max: usize,
    /// The slot of each link, by the place of the link.
    by_link: Vec<usize>,
}

impl Slots {
    pub(super) fn new(plan: &Plan) -> Self {
        let connections = usize::from(plan.load.connections);
        let lanes = lanes(plan.reads);
        let count = connections * lanes * plan.groups.len();
        // So that the gets of several threads with few connections are spread, too.
        let first_replica = usize::from(plan.thread) * connections;
        let first_client = 1 + usize::from(plan.thread) * count;
        let slots = (0..count)
            .map(|index| Slot {
                group: index / (connections * lanes),
                client: u32::try_from(first_client + index).expect("connections are few"),
                replica: (first_replica + index % connections) % plan.groups[0].len(),
                link: None,
                connected: false,
                greeting: None,
                connect_at: Time(0),
                heard_at: Time(0),
                silences: 0,
                assembler: Some(Assembler::default()),
                outbox: Vec::with_capacity(frame::BUFFER_BYTES),
                requests: None,
                doomed: false,
            })
            .collect();
        Self {
            slots,
            groups: plan.groups.clone(),
            connections,
            lanes,
            cluster: plan.cluster,
            key: plan.key,
            nonces: Nonces::new(plan.nonces),
            repeatable: plan.repeatable,
            frame_bytes_max: plan.frame_bytes_max as usize,
            by_link: Vec::new(),
        }
    }

    pub(super) fn group(&self, slot: usize) -> usize {
        self.slots[slot].group
    }

    /// The connection of the client's request.
    fn of_request(&self, client: u32, clients: &Clients) -> usize {
        let lane = usize::from(self.lanes > 1 && clients.reads(client));
        let place = client as usize % self.connections;
        (clients.group(client) * self.lanes + lane) * self.connections + place
    }

    /// Adds the client's request to what its connection sends.
    #[inline]
    pub(super) fn request(&mut self, client: u32, clients: &mut Clients) {
        let index = self.of_request(client, clients);
        let slot = &mut self.slots[index];
        if !slot.connected || slot.greeting.is_some() || slot.outbox.len() > OUTBOX_BYTES_MAX {
            // Sent when the connection is there.
            return;
        }
        let mut kind = Kind::Requests;
        if clients.begins_sample(client) {
            // It is known by its place: the first of its frame.
            slot.finish_requests();
            kind = Kind::Sampled;
        }
        if !slot.encode(client, clients, kind, self.frame_bytes_max) {
            slot.finish_requests();
            let alone = slot.encode(client, clients, kind, self.frame_bytes_max);
            assert!(alone, "a request fits a frame of its own");
        }
        clients.set_sent(client);
    }

    /// A request of this client was not answered for `timeout_ns`. If the replica was silent all
    /// that time it may hang: then the connection turns to the next one. True when it did.
    pub(super) fn turn_if_silent(
        &mut self,
        client: u32,
        clients: &Clients,
        now: Time,
        timeout_ns: u64,
    ) -> bool {
        let index = self.of_request(client, clients);
        let replicas = self.groups[self.slots[index].group].len();
        let slot = &mut self.slots[index];
        // Whoever is turned to gets all requests anew. A cluster that is slow and not silent would
        // never catch up if clients went round as fast as at first.
        let patience_ns = timeout_ns << slot.silences.min(DOUBLINGS_MAX);
        let silent = slot.connected && now.since(slot.heard_at) >= patience_ns;
        if silent {
            slot.silences = slot.silences.saturating_add(1);
            slot.turn_to((slot.replica + 1) % replicas, now, now);
        }
        silent
    }

    /// The replica says that it does not lead. False when there is nothing to do but to wait.
    pub(super) fn redirect(&mut self, slot: usize, leader: Option<usize>, now: Time) -> bool {
        let replicas = self.groups[self.slots[slot].group].len();
        let slot = &mut self.slots[slot];
        match leader {
            Some(leader) if leader < replicas && leader != slot.replica => {
                slot.turn_to(leader, now, now);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The replica at the other end has answered an operation.
    pub(super) fn answered(&mut self, slot: usize) {
        self.slots[slot].silences = 0;
    }

    pub(super) fn doom(&mut self, link: LinkId) {
        if let Some(slot) = self.slot_of(link) {
            self.slots[slot].doomed = true;
        }
    }

    /// The connection is gone: the next replica is tried, after a moment.
    pub(super) fn lost(&mut self, link: LinkId, now: Time) {
        if let Some(slot) = self.slot_of(link) {
            let replicas = self.groups[self.slots[slot].group].len();
            let slot = &mut self.slots[slot];
            slot.link = None;
            let next = (slot.replica + 1) % replicas;
            slot.turn_to(next, now, now + RECONNECT_NS);
        }
    }

    /// The connection is there: greets.
    pub(super) fn greet(&mut self, link: LinkId) {
        let Some(index) = self.slot_of(link) else { return };
        let slot = &mut self.slots[index];
        slot.connected = true;
        slot.outbox.clear();
        slot.requests = None;
        let mut assembler = Assembler::default();
        assembler.reserve();
        slot.assembler = Some(assembler);
        let hello = Hello {
            cluster: self.cluster,
            group: u16::try_from(slot.group).expect("groups are few"),
            to: u8::try_from(slot.replica).expect("replicas are few"),
            speaker: Speaker::Client(slot.client),
        };
        let dialling = Dialling::begin(hello, self.key, &mut self.nonces, &mut slot.outbox);
        slot.greeting = Some(dialling);
    }

    /// Whether the replica at the other end has not answered the greeting yet.
    pub(super) fn is_greeting(&self, slot: usize) -> bool {
        self.slots[slot].greeting.is_some()
    }

    /// The replica has answered the greeting: sends what its clients still wait for. A request that
    /// was sent before is sent again only if it may be executed twice, or is executed once however
    /// often it comes. False when the answer is not that of a replica of this run.
    pub(super) fn answer(&mut self, index: usize, challenge: &[u8], clients: &mut Clients) -> bool {
        let slot = &mut self.slots[index];
        let Some(dialling) = slot.greeting.take() else { return false };
        if !dialling.answer(challenge, &mut slot.outbox) {
            return false;
        }
        for client in (0..clients.len()).skip(index % self.connections).step_by(self.connections) {
            let waits = clients.is_outstanding(client) && self.of_request(client, clients) == index;
            if waits && (self.repeatable || clients.may_repeat(client)) {
                self.request(client, clients);
            }
        }
        true
    }

    pub(super) fn take_assembler(&mut self, link: LinkId, now: Time) -> Option<(usize, Assembler)> {
        let slot = self.slot_of(link)?;
        self.slots[slot].heard_at = now;
        Some((slot, self.slots[slot].assembler.take()?))
    }

    pub(super) fn give_assembler(&mut self, slot: usize, link: LinkId, assembler: Assembler) {
        if self.slots[slot].link == Some(link) {
            self.slots[slot].assembler = Some(assembler);
        }
    }

    /// Connects, sends and closes what is to be.
    pub(super) fn flush(&mut self, io: &mut impl Io) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.doomed
                && let Some(link) = slot.link.take()
            {
                io.close(link);
                slot.connected = false;
                slot.doomed = false;
            }
            if slot.link.is_none() && io.now() >= slot.connect_at {
                let link = io.connect(&self.groups[slot.group][slot.replica]);
                slot.link = Some(link);
                let place = link.index as usize;
                if self.by_link.len() <= place {
                    self.by_link.resize(place + 1, usize::MAX);
                }
                self.by_link[place] = index;
            }
            let slot = &mut self.slots[index];
            slot.finish_requests();
            if let Some(link) = slot.link.filter(|_| slot.connected) {
                io.send(link, &mut slot.outbox);
            }
        }
    }

    fn slot_of(&self, link: LinkId) -> Option<usize> {
        let slot = *self.by_link.get(link.index as usize)?;
        (self.slots.get(slot)?.link == Some(link)).then_some(slot)
    }
}

impl Slot {
    /// Adds the client's request to the frame that is open, or to a new one of this kind. False when the
    /// frame is too long for it.
    #[inline]
    fn encode(
        &mut self,
        client: u32,
        clients: &mut Clients,
        kind: Kind,
        frame_bytes_max: usize,
    ) -> bool {
        let (at, count) = match self.requests {
            Some(open) => open,
            None => (frame::start(&mut self.outbox, kind, &[]), 0),
        };
        let before = self.outbox.len();
        clients.encode(client, self.client, &mut self.outbox);
        if self.outbox.len() - at > frame_bytes_max {
            self.outbox.truncate(before);
            return false;
        }
        self.requests = Some((at, count + 1));
        if self.outbox.len() - at >= FRAME_BYTES {
            self.finish_requests();
        }
        true
    }

    fn finish_requests(&mut self) {
        if let Some((at, count)) = self.requests.take() {
            frame::finish(&mut self.outbox, at, count);
        }
    }

    /// Speaks to another replica from now on; the present connection, if there is one, is closed.
    fn turn_to(&mut self, replica: usize, now: Time, connect_at: Time) {
        self.replica = replica;
        self.connected = false;
        self.greeting = None;
        self.doomed = self.link.is_some();
        self.connect_at = connect_at;
        self.heard_at = now;
        self.outbox.clear();
        self.requests = None;
    }
}
