//! The small world around the protocols of a bench.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use synod_protocols::command::Status;
use synod_protocols::protocol::{Context, Input, Protocol, Register};
use synod_protocols::types::{Payload, ReplicaId, Slot, Tag, Time};

/// A message on its way. Its payload is held until it is forgotten.
#[derive(Debug)]
pub(crate) struct Sent<P: Protocol> {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) message: P::Message,
    pub(crate) payload: Payload,
}

impl<P: Protocol> Clone for Sent<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Protocol> Copy for Sent<P> {}

/// Bytes that somebody holds.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    holders: u32,
}

/// What all replicas of a bench act on; one of them at a time.
#[derive(Debug)]
pub(crate) struct World<P: Protocol> {
    me: ReplicaId,
    sent: VecDeque<Sent<P>>,
    blocks: Vec<Block>,
    free: Vec<u32>,
    committed: u64,
    random: u64,
}

impl<P: Protocol> World<P> {
    pub(crate) fn new() -> Self {
        let (sent, blocks, free) = (VecDeque::with_capacity(1024), Vec::new(), Vec::new());
        Self { me: ReplicaId(0), sent, blocks, free, committed: 0, random: 1 }
    }

    /// Lets a replica handle an input.
    #[inline]
    pub(crate) fn step(&mut self, replica: &mut P, id: ReplicaId, input: Input<P::Message>) {
        self.me = id;
        replica.step(input, self);
    }

    /// The clock stands still.
    pub(crate) fn time(&self) -> Time {
        Time(1_000_000_000)
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn sent(&self) -> &VecDeque<Sent<P>> {
        &self.sent
    }

    pub(crate) fn take_sent(&mut self) -> Option<Sent<P>> {
        self.sent.pop_front()
    }

    #[inline]
    pub(crate) fn forget_sent(&mut self) {
        while let Some(sent) = self.sent.pop_front() {
            Context::release(self, sent.payload);
        }
    }

    /// Delivers until nobody has anything to say any more.
    pub(crate) fn deliver_all(&mut self, replicas: &mut [P]) {
        while let Some(Sent { from, to, message, payload }) = self.take_sent() {
            let input = Input::Message { from, message, payload };
            self.step(&mut replicas[to.index()], to, input);
            Context::release(self, payload);
        }
    }

    /// Copies bytes in; the caller holds them.
    pub(crate) fn hold(&mut self, bytes: &[u8], commands: u32) -> Payload {
        let narrow = |count: usize| u32::try_from(count).expect("a bench is small");
        let block = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            narrow(self.blocks.len() - 1)
        });
        let place = &mut self.blocks[block as usize];
        place.bytes.clear();
        place.bytes.extend_from_slice(bytes);
        place.holders = 1;
        Payload { block, offset: 0, bytes: narrow(bytes.len()), commands }
    }
}

impl<P: Protocol> Context<P> for World<P> {
    fn now(&self) -> Time {
        self.time()
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random >> 32
    }

    fn append(&mut self, record: P::Record, payload: Payload) {
        black_box((record, payload));
    }

    fn send(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        Context::<P>::retain(self, payload);
        self.sent.push_back(Sent { from: self.me, to, message, payload });
    }

    fn send_now(&mut self, to: ReplicaId, message: P::Message, payload: Payload) {
        self.send(to, message, payload);
    }

    fn commit(&mut self, slot: Slot, batch: Payload, reply: bool) {
        self.committed += 1;
        black_box((slot, batch, reply));
    }

    fn serve(&mut self, gets: Payload) {
        self.committed += 1;
        black_box(gets);
    }

    fn redirect(&mut self, _batch: Payload, _leader: Option<ReplicaId>) {
        unreachable!("a bench asks the leader");
    }

    fn retain(&mut self, payload: Payload) {
        if !payload.is_empty() {
            self.blocks[payload.block as usize].holders += 1;
        }
    }

    fn release(&mut self, payload: Payload) {
        if !payload.is_empty() {
            let block = &mut self.blocks[payload.block as usize];
            block.holders -= 1;
            if block.holders == 0 {
                self.free.push(payload.block);
            }
        }
    }

    fn send_snapshot(&mut self, _to: ReplicaId) {
        unreachable!("nobody lags");
    }

    fn bytes(&self, payload: Payload) -> &[u8] {
        match self.blocks.get(payload.block as usize) {
            Some(block) => &block.bytes[payload.offset as usize..][..payload.bytes as usize],
            None => &[],
        }
    }

    fn store(&mut self, bytes: &[u8]) -> Payload {
        self.hold(bytes, 0)
    }

    fn register(&self, key: u64) -> Register<'_> {
        Register { tag: Tag(black_box(key)), deleted: false, value: &[7; 16] }
    }

    fn write_register(&mut self, key: u64, tag: Tag, deleted: bool, value: Payload) {
        black_box((key, tag, deleted, value));
    }

    fn reply(&mut self, session: u64, sequence: u64, status: Status, tag: Tag, value: Payload) {
        black_box((session, sequence, status, tag, value));
    }
}

/// How long `work` takes.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
