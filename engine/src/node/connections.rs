//! The connections of a replica: who is at the other end, what was half received, what is to be
//! sent.

use std::collections::VecDeque;

use synod_protocols::command::Reply;
use synod_protocols::types::{REPLICAS_MAX, ReplicaId, Time};

use crate::frame::{self, Assembler, Kind};
use crate::greeting::{Accepting, Dialling, Speaker};
use crate::io::LinkId;

/// Bytes that wait on a connection at most. What comes on top for a replica is dropped, and sent
/// again later; a client that does not read is cut off.
const OUTBOX_BYTES_MAX: usize = 64 << 20;

/// A frame of replies is closed when it has this many bytes.
const REPLIES_FRAME_BYTES: usize = 256 << 10;

/// Connections that others made and have not greeted on, at most.
pub(super) const STRANGERS_MAX: usize = 64;

/// How long a greeting may take.
pub(super) const GREETING_NS: u64 = 2_000_000_000;

/// All connections, by the place of their link.
#[derive(Debug)]
pub(super) struct Connections {
    table: Vec<Connection>,
    peers: [Option<LinkId>; REPLICAS_MAX],
    clients: Vec<Option<LinkId>>,
    /// Connections that are greeting, the oldest first.
    strangers: VecDeque<Stranger>,
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    link: LinkId,
    /// Whether the other end made the connection.
    accepted: bool,
    /// By when the greeting must be over; known at the end of the turn in which it begins, as the
    /// time before may be that of a turn long ago.
    until: Option<Time>,
}

#[derive(Debug)]
enum Greeting {
    Dialling(Dialling),
    Accepting(Accepting),
}

#[derive(Debug, Default)]
struct Connection {
    link: Option<LinkId>,
    speaker: Option<Speaker>,
    /// What is under way until the speaker is known.
    greeting: Option<Greeting>,
    /// Whom this side is connecting to.
    dialled: Option<ReplicaId>,
    assembler: Option<Assembler>,
    outbox: Vec<u8>,
    /// Where the frame of replies starts that is being filled, and how many it has.
    replies: Option<(usize, u32)>,
    /// Closed by this side at the end of the turn.
    doomed: bool,
}

impl Connections {
    pub(super) fn new(clients_max: usize) -> Self {
        Self {
            table: Vec::new(),
            peers: [None; REPLICAS_MAX],
            clients: vec![None; clients_max],
            strangers: VecDeque::with_capacity(STRANGERS_MAX + REPLICAS_MAX),
        }
    }

    fn open(&mut self, link: LinkId) {
        let place = link.index as usize;
        if self.table.len() <= place {
            self.table.resize_with(place + 1, Connection::default);
        }
        let connection = &mut self.table[place];
        connection.link = Some(link);
        connection.speaker = None;
        connection.greeting = None;
        connection.dialled = None;
        connection.assembler = Some(Assembler::default());
        connection.outbox.clear();
        connection.outbox.reserve(frame::BUFFER_BYTES);
        connection.replies = None;
        connection.doomed = false;
    }

    /// A connection that the other end made. Returns the oldest of them that has not greeted if
    /// they are too many.
    pub(super) fn accept(&mut self, link: LinkId) -> Option<LinkId> {
        self.open(link);
        self.strangers.push_back(Stranger { link, accepted: true, until: None });
        let mut accepted = self.strangers.iter().filter(|stranger| stranger.accepted);
        let oldest = accepted.next()?.link;
        let too_many = accepted.count() >= STRANGERS_MAX;
        too_many.then(|| {
            self.forget_stranger(oldest);
            oldest
        })
    }

    fn forget_stranger(&mut self, link: LinkId) {
        self.strangers.retain(|stranger| stranger.link != link);
    }

    /// By when the next greeting must be over.
    pub(super) fn greeting_until(&self) -> Time {
        self.strangers.front().and_then(|stranger| stranger.until).unwrap_or(Time::NEVER)
    }

    /// A connection whose greeting has taken too long.
    pub(super) fn next_silent(&mut self, now: Time) -> Option<LinkId> {
        for stranger in self.strangers.iter_mut().rev().take_while(|new| new.until.is_none()) {
            stranger.until = Some(now + GREETING_NS);
        }
        let late = |stranger: &mut Stranger| stranger.until.is_some_and(|until| until <= now);
        self.strangers.pop_front_if(late).map(|stranger| stranger.link)
    }

    pub(super) fn set_dialling(&mut self, link: LinkId, dialling: Dialling) {
        if let Some(connection) = self.get_mut(link) {
            connection.greeting = Some(Greeting::Dialling(dialling));
            self.strangers.push_back(Stranger { link, accepted: false, until: None });
        }
    }

    pub(super) fn take_dialling(&mut self, link: LinkId) -> Option<Dialling> {
        match self.get_mut(link)?.greeting.take()? {
            Greeting::Dialling(dialling) => Some(dialling),
            Greeting::Accepting(_) => None,
        }
    }

    /// Whether the other end has to say the first word, and has not.
    pub(super) fn awaits_hello(&self, link: LinkId) -> bool {
        self.get(link)
            .is_some_and(|connection| connection.dialled.is_none() && connection.greeting.is_none())
    }

    pub(super) fn set_accepting(&mut self, link: LinkId, accepting: Accepting) {
        if let Some(connection) = self.get_mut(link) {
            connection.greeting = Some(Greeting::Accepting(accepting));
        }
    }

    pub(super) fn take_accepting(&mut self, link: LinkId) -> Option<Accepting> {
        match self.get_mut(link)?.greeting.take()? {
            Greeting::Accepting(accepting) => Some(accepting),
            Greeting::Dialling(_) => None,
        }
    }

    /// A connection that this side makes to a replica.
    pub(super) fn dial(&mut self, link: LinkId, peer: ReplicaId) {
        self.open(link);
        self.table[link.index as usize].dialled = Some(peer);
        self.peers[peer.index()] = Some(link);
    }

    pub(super) fn dialled(&self, link: LinkId) -> Option<ReplicaId> {
        self.get(link).and_then(|connection| connection.dialled)
    }

    pub(super) fn close(&mut self, link: LinkId) {
        if let Some(connection) = self.get_mut(link) {
            connection.link = None;
            connection.greeting = None;
            connection.outbox.clear();
            connection.replies = None;
        }
        self.forget_stranger(link);
        for peer in self.peers.iter_mut().filter(|peer| **peer == Some(link)) {
            *peer = None;
        }
        for client in self.clients.iter_mut().filter(|client| **client == Some(link)) {
            *client = None;
        }
    }

    pub(super) fn speaker(&self, link: LinkId) -> Option<Speaker> {
        self.get(link).and_then(|connection| connection.speaker)
    }

    /// The other end has proved who it is. An older connection of the same speaker is doomed.
    pub(super) fn set_speaker(&mut self, link: LinkId, speaker: Speaker) {
        if let Some(connection) = self.get_mut(link) {
            connection.speaker = Some(speaker);
        }
        self.forget_stranger(link);
        let place = match speaker {
            Speaker::Replica(id) => &mut self.peers[usize::from(id)],
            Speaker::Client(id) => &mut self.clients[id as usize],
        };
        let older = place.replace(link).filter(|&older| older != link);
        if let Some(older) = older {
            self.doom(older);
        }
    }

    pub(super) fn doom(&mut self, link: LinkId) {
        if let Some(connection) = self.get_mut(link) {
            connection.doomed = true;
        }
    }

    /// Closes the connections of all clients, with what was not sent yet.
    pub(super) fn doom_clients(&mut self) {
        for place in 0..self.clients.len() {
            if let Some(link) = self.clients[place] {
                self.doom(link);
            }
        }
    }

    pub(super) fn has_peer(&self, peer: ReplicaId) -> bool {
        self.peers[peer.index()].is_some()
    }

    pub(super) fn take_assembler(&mut self, link: LinkId) -> Option<Assembler> {
        self.get_mut(link).filter(|connection| !connection.doomed)?.assembler.take()
    }

    pub(super) fn give_assembler(&mut self, link: LinkId, mut assembler: Assembler) {
        if let Some(connection) = self.get_mut(link) {
            if connection.speaker.is_some() {
                assembler.reserve();
            }
            connection.assembler = Some(assembler);
        }
    }

    /// What is to be sent on a link.
    pub(super) fn outbox(&mut self, link: LinkId) -> Option<&mut Vec<u8>> {
        self.get_mut(link).map(|connection| &mut connection.outbox)
    }

    /// What is to be sent to a replica, if it is connected and takes what it is sent.
    pub(super) fn peer_outbox(&mut self, peer: ReplicaId) -> Option<&mut Vec<u8>> {
        let connection = &mut self.table[self.peers[peer.index()]?.index as usize];
        connection.takes_more().then_some(&mut connection.outbox)
    }

    /// How much waits to be sent to a replica, if it is connected and takes what it is sent.
    pub(super) fn peer_outbox_bytes(&self, peer: ReplicaId) -> Option<usize> {
        let connection = &self.table[self.peers[peer.index()]?.index as usize];
        connection.takes_more().then_some(connection.outbox.len())
    }

    /// Adds a reply for a client, if it is connected here.
    #[inline]
    pub(super) fn reply(&mut self, client: u32, reply: &Reply<'_>) {
        let Some(Some(link)) = self.clients.get(client as usize) else { return };
        let connection = &mut self.table[link.index as usize];
        let (at, count) = match connection.replies {
            Some(open) => open,
            None => (frame::start(&mut connection.outbox, Kind::Replies, &[]), 0),
        };
        reply.encode(&mut connection.outbox);
        connection.replies = Some((at, count + 1));
        if connection.outbox.len() - at >= REPLIES_FRAME_BYTES {
            connection.finish_replies();
        }
    }

    /// Tells a client something beside its replies, if it is connected here.
    pub(super) fn tell(&mut self, client: u32, kind: Kind, message: &[u8]) {
        let Some(Some(link)) = self.clients.get(client as usize) else { return };
        let connection = &mut self.table[link.index as usize];
        connection.finish_replies();
        frame::push(&mut connection.outbox, kind, message, &[], 0);
    }

    /// For each connection with something to send: the link, its speaker and the bytes.
    pub(super) fn flush(&mut self, mut send: impl FnMut(LinkId, Option<Speaker>, &mut Vec<u8>)) {
        for connection in &mut self.table {
            connection.finish_replies();
            if let Some(link) = connection.link
                && !connection.outbox.is_empty()
                && !connection.doomed
            {
                send(link, connection.speaker, &mut connection.outbox);
                let client = matches!(connection.speaker, Some(Speaker::Client(_)));
                connection.doomed |= client && connection.outbox.len() > OUTBOX_BYTES_MAX;
            }
        }
    }

    /// Links that this side closes now.
    pub(super) fn next_doomed(&mut self) -> Option<LinkId> {
        let link = self
            .table
            .iter()
            .find(|connection| connection.doomed && connection.link.is_some())
            .and_then(|connection| connection.link)?;
        self.close(link);
        Some(link)
    }

    fn get(&self, link: LinkId) -> Option<&Connection> {
        self.table.get(link.index as usize).filter(|connection| connection.link == Some(link))
    }

    fn get_mut(&mut self, link: LinkId) -> Option<&mut Connection> {
        self.table.get_mut(link.index as usize).filter(|connection| connection.link == Some(link))
    }
}

impl Connection {
    /// Whether a replica is at the other end that takes what it is sent.
    fn takes_more(&self) -> bool {
        self.speaker.is_some() && self.outbox.len() < OUTBOX_BYTES_MAX
    }

    fn finish_replies(&mut self) {
        if let Some((at, count)) = self.replies.take() {
            frame::finish(&mut self.outbox, at, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_protocols::command::Status;

    #[test]
    fn a_client_may_leave_while_it_is_being_answered() {
        let mut connections = Connections::new(8);
        let link = LinkId { index: 0, generation: 1 };
        connections.open(link);
        connections.set_speaker(link, Speaker::Client(3));
        let (status, version) = (Status::Ok, 1);
        connections.reply(3, &Reply { sequence: 1, session_index: 1, status, version, value: &[] });
        connections.close(link);
        connections.flush(|_, _, _| panic!("there is nobody to send to"));
    }
}
