//! The network of a simulated world: connections between machines, and what keeps bytes from
//! arriving.

use std::iter;

use synod_workloads::Random;

use super::plan::Network as Model;
use crate::io::LinkId;
use crate::io::simulated::Arrival;
use crate::latency::Latency;

/// Frames of a greeting from who dials and from who accepts.
const GREETING_FRAMES: [u32; 2] = [2, 1];

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) connection: usize,
    /// 0 for the side that connected.
    pub(super) side: usize,
}

impl End {
    pub(super) fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }
}

#[derive(Debug)]
struct Connection {
    machines: [usize; 2],
    /// In which of their lives the machines are connected; nothing goes on to the next one.
    lives: [u32; 2],
    /// The accepting side has one once it has accepted.
    links: [Option<LinkId>; 2],
    /// Frames of its greeting that a side has not sent yet: they are never lost or doubled.
    greeting_left: [u32; 2],
    /// Frames of its greeting that are not on their way yet: nothing overtakes them.
    greeting_ahead: [u32; 2],
    /// Nothing that a side sends arrives before this: order, or at least the greeting first.
    not_before: [u64; 2],
    /// When the last of what a side sent arrives.
    last: [u64; 2],
    closed: bool,
}

impl Connection {
    fn is_of_client(&self, clients_from: usize) -> bool {
        self.machines.iter().any(|&machine| machine >= clients_from)
    }
}

/// What goes to a machine, and when.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) at: u64,
    pub(super) to: usize,
    /// The life of the machine that it is for; an [`Content::Opening`] is for any.
    pub(super) life: u32,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// The other end wants to connect.
    Opening(End),
    Arrival(Arrival),
}

/// What the network has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Pieces of bytes that were sent.
    pub sent: u64,
    /// Frames lost by chance or by a partition.
    pub lost: u64,
    /// Frames that arrive twice.
    pub doubled: u64,
    /// Pieces that a partition held back.
    pub held: u64,
}

#[derive(Debug)]
pub(super) struct Network {
    model: Model,
    clients_from: usize,
    random: Random,
    connections: Vec<Connection>,
    /// The end that each link of a machine is, by the place of the link.
    ends: Vec<Vec<Option<(u32, End)>>>,
    /// How many faults block the way from one machine to another.
    blocked: Vec<Vec<u32>>,
    /// What waits for a way to be free again: from, to and the connection's end that sends.
    held: Vec<(usize, Parcel, End)>,
    /// When each machine's card has sent all that it was given.
    card_free_at: Vec<u64>,
    pub(super) traffic: Traffic,
}

impl Network {
    /// The machines from `clients_from` on are those of clients.
    pub(super) fn new(model: Model, machines: usize, clients_from: usize, random: Random) -> Self {
        Self {
            model,
            clients_from,
            random,
            connections: Vec::new(),
            ends: vec![Vec::new(); machines],
            blocked: vec![vec![0; machines]; machines],
            held: Vec::new(),
            card_free_at: vec![0; machines],
            traffic: Traffic::default(),
        }
    }

    /// From now on the network is what it should be.
    pub(super) fn calm(&mut self) {
        self.model.latency = Latency::Constant(self.model.calm_ns);
        (self.model.loss, self.model.duplication) = (0, 0);
    }

    fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from][to] > 0
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] += 1;
    }

    /// Takes one fault from the way, and gives what can travel now.
    pub(super) fn unblock(&mut self, from: usize, to: usize, now: u64) -> Vec<Parcel> {
        assert!(self.blocked[from][to] > 0);
        self.blocked[from][to] -= 1;
        if self.is_blocked(from, to) {
            return Vec::new();
        }
        let held = std::mem::take(&mut self.held);
        let (free, still) =
            held.into_iter().partition(|(sender, parcel, _)| (*sender, parcel.to) == (from, to));
        self.held = still;
        let free: Vec<(usize, Parcel, End)> = free;
        free.into_iter()
            .map(|(_, parcel, end)| self.send_off(end, now, parcel.to, parcel.content))
            .collect()
    }

    fn name(&mut self, machine: usize, link: LinkId, end: End) {
        let ends = &mut self.ends[machine];
        let place = link.index as usize;
        if ends.len() <= place {
            ends.resize(place + 1, None);
        }
        ends[place] = Some((link.generation, end));
    }

    fn end_of(&self, machine: usize, link: LinkId) -> Option<End> {
        let (generation, end) = (*self.ends[machine].get(link.index as usize)?)?;
        (generation == link.generation).then_some(end)
    }

    /// A machine asks for a connection.
    pub(super) fn connect(
        &mut self,
        from: usize,
        life: u32,
        link: LinkId,
        to: usize,
        now: u64,
    ) -> Option<Parcel> {
        let end = End { connection: self.connections.len(), side: 0 };
        self.connections.push(Connection {
            machines: [from, to],
            lives: [life, 0],
            links: [Some(link), None],
            greeting_left: GREETING_FRAMES,
            greeting_ahead: GREETING_FRAMES,
            not_before: [0; 2],
            last: [0; 2],
            closed: false,
        });
        self.name(from, link, end);
        self.dispatch(end, now, Content::Opening(end.other()))
    }

    /// The connection has reached the machine at `end`, which accepts it; the other side hears.
    pub(super) fn accept(&mut self, end: End, life: u32, link: LinkId, now: u64) -> Option<Parcel> {
        let connection = &mut self.connections[end.connection];
        assert!(!connection.closed);
        connection.lives[end.side] = life;
        connection.links[end.side] = Some(link);
        let (machine, theirs) = (connection.machines[end.side], connection.links[1 - end.side]);
        self.name(machine, link, end);
        let theirs = theirs.expect("who connects has a link");
        self.dispatch(end, now, Content::Arrival(Arrival::Connected(theirs)))
    }

    /// Nobody is there to accept it.
    pub(super) fn refuse(&mut self, end: End, now: u64) -> Option<Parcel> {
        let connection = &mut self.connections[end.connection];
        connection.closed = true;
        let theirs = connection.links[1 - end.side].expect("who connects has a link");
        self.dispatch(end, now, Content::Arrival(Arrival::Closed(theirs)))
    }

    pub(super) fn is_closed(&self, end: End) -> bool {
        self.connections[end.connection].closed
    }

    /// A machine closes a connection, or is no more; the other side hears.
    pub(super) fn close(&mut self, machine: usize, link: LinkId, now: u64) -> Option<Parcel> {
        let end = self.end_of(machine, link)?;
        self.ends[machine][link.index as usize] = None;
        self.shut(end, now)
    }

    fn shut(&mut self, end: End, now: u64) -> Option<Parcel> {
        let connection = &mut self.connections[end.connection];
        if std::mem::replace(&mut connection.closed, true) {
            return None;
        }
        let theirs = connection.links[1 - end.side]?;
        let last = connection.last[end.side];
        let mut parcel = self.dispatch(end, now, Content::Arrival(Arrival::Closed(theirs)))?;
        parcel.at = parcel.at.max(last + 1);
        Some(parcel)
    }

    /// The process of a machine is gone, and all its connections with it.
    pub(super) fn end_all(&mut self, machine: usize, now: u64) -> Vec<Parcel> {
        let ends = std::mem::take(&mut self.ends[machine]);
        ends.into_iter().flatten().filter_map(|(_, end)| self.shut(end, now)).collect()
    }

    /// A machine sends whole frames; what of them is on its way is posted.
    pub(super) fn send(
        &mut self,
        machine: usize,
        link: LinkId,
        bytes: Vec<u8>,
        now: u64,
        mut post: impl FnMut(Parcel),
    ) {
        let Some(end) = self.end_of(machine, link) else { return };
        let connection = &self.connections[end.connection];
        let Some(theirs) = connection.links[1 - end.side] else { return };
        let sent_at =
            now.max(self.card_free_at[machine]) + bytes.len() as u64 * self.model.byte_ps / 1_000;
        self.card_free_at[machine] = sent_at;
        let whole = |bytes| Content::Arrival(Arrival::Received(theirs, bytes));
        // Clients have connections: a request that came twice would be two writes of a register.
        if !self.model.datagrams || connection.is_of_client(self.clients_from) {
            self.traffic.sent += 1;
            let (first, second) = self.cut(bytes);
            for piece in iter::once(first).chain(second) {
                self.dispatch(end, sent_at, whole(piece)).map(&mut post);
            }
            return;
        }
        let mut rest = &bytes[..];
        while let Some(length) = rest.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let (frame, behind) = rest.split_at(length);
            rest = behind;
            self.traffic.sent += 1;
            for _ in 0..self.copies(end) {
                self.dispatch(end, sent_at, whole(frame.to_vec())).map(&mut post);
            }
        }
    }

    /// Now and then in two pieces, for nobody may rely on getting whole frames.
    fn cut(&mut self, mut bytes: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
        if bytes.len() < 2 || self.random.below(8) > 0 {
            return (bytes, None);
        }
        let at = 1 + self.random.below(bytes.len() as u64 - 1);
        let behind = bytes.split_off(usize::try_from(at).expect("within the bytes"));
        (bytes, Some(behind))
    }

    /// How often a frame arrives.
    fn copies(&mut self, end: End) -> u32 {
        let connection = &mut self.connections[end.connection];
        let left = &mut connection.greeting_left[end.side];
        if *left > 0 {
            *left -= 1;
            return 1;
        }
        let [from, to] = [end.side, 1 - end.side].map(|side| connection.machines[side]);
        if self.is_blocked(from, to) || self.random.below(1_000) < self.model.loss {
            self.traffic.lost += 1;
            return 0;
        }
        let doubled = self.random.below(1_000) < self.model.duplication;
        self.traffic.doubled += u64::from(doubled);
        1 + u32::from(doubled)
    }

    /// From `end` to the other one. `None` while the way is blocked; it then travels later.
    fn dispatch(&mut self, end: End, now: u64, content: Content) -> Option<Parcel> {
        let machines = self.connections[end.connection].machines;
        let (from, to) = (machines[end.side], machines[1 - end.side]);
        if self.is_blocked(from, to) {
            self.traffic.held += 1;
            self.held.push((from, Parcel { at: now, to, life: 0, content }, end));
            return None;
        }
        Some(self.send_off(end, now, to, content))
    }

    fn send_off(&mut self, end: End, now: u64, to: usize, content: Content) -> Parcel {
        let at = now + self.model.latency.draw(&mut self.random);
        let connection = &mut self.connections[end.connection];
        let at = at.max(connection.not_before[end.side]);
        let bytes = matches!(content, Content::Arrival(Arrival::Received(..)));
        // Of datagrams only the greeting comes before all others.
        let in_order = !self.model.datagrams || connection.is_of_client(self.clients_from);
        let ahead = &mut connection.greeting_ahead[end.side];
        if in_order || *ahead > 0 || !bytes {
            connection.not_before[end.side] = at;
        }
        *ahead = ahead.saturating_sub(u32::from(bytes));
        if bytes {
            connection.last[end.side] = connection.last[end.side].max(at);
        }
        Parcel { at, to, life: connection.lives[1 - end.side], content }
    }
}
