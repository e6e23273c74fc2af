//! Gets that do not go through the log, and wait until the store may answer them.

use alloc::collections::VecDeque;

use crate::protocol::{Context, Protocol};
use crate::types::{Payload, ReplicaId, Replicas, Slot, Time};

/// One batch of gets.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: u64,
    gets: Payload,
    /// Who has answered the question that this replica asked for them.
    heard: Replicas,
    /// Everything below this slot must be applied first.
    until: Slot,
    asked_at: Time,
}

/// Batches of gets that wait, in the order in which they came.
#[derive(Debug)]
pub struct ReadQueue {
    waiting: VecDeque<Waiting>,
    batches_max: usize,
    next_id: u64,
}

impl ReadQueue {
    /// An empty queue for so many batches.
    #[must_use]
    pub fn new(batches_max: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(batches_max), batches_max, next_id: 0 }
    }

    /// Numbers questions from here on: a random number, or an answer to another life of this replica
    /// could be taken for one to this.
    pub fn number_from(&mut self, id: u64) {
        self.next_id = id;
    }

    /// Batches that may still come.
    #[must_use]
    pub fn room(&self) -> usize {
        self.batches_max - self.waiting.len()
    }

    /// Keeps gets until all of `until` is applied and enough replicas were heard. Returns the number
    /// of the question to ask them.
    pub fn push<P: Protocol>(
        &mut self,
        gets: Payload,
        heard: Replicas,
        until: Slot,
        cx: &mut impl Context<P>,
    ) -> u64 {
        assert!(self.room() > 0);
        cx.retain(gets);
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.waiting.push_back(Waiting { id, gets, heard, until, asked_at: cx.now() });
        id
    }

    /// A replica has answered a question: what it knows ends at `until`.
    pub fn hear(&mut self, id: u64, from: ReplicaId, until: Slot) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.heard.insert(from);
            waiting.until = waiting.until.max(until);
        }
    }

    /// Answers those for which `quorum` replicas were heard and whose slots are applied.
    pub fn serve<P: Protocol>(&mut self, applied: Slot, quorum: usize, cx: &mut impl Context<P>) {
        self.waiting.retain(|waiting| {
            let is_ready = waiting.heard.len() >= quorum && waiting.until <= applied;
            if is_ready {
                cx.serve(waiting.gets);
                cx.release(waiting.gets);
            }
            !is_ready
        });
    }

    /// Sends all clients to another replica.
    pub fn redirect<P: Protocol>(&mut self, to: Option<ReplicaId>, cx: &mut impl Context<P>) {
        for waiting in self.waiting.drain(..) {
            cx.redirect(waiting.gets, to);
            cx.release(waiting.gets);
        }
    }

    /// When the oldest question was asked last.
    #[must_use]
    pub fn asked_at(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| waiting.asked_at).min()
    }

    /// Whether somebody waits for a slot that is not applied yet.
    #[must_use]
    pub fn lacks(&self, applied: Slot) -> bool {
        self.waiting.iter().any(|waiting| waiting.until > applied)
    }

    /// Asks again what was asked before `since`: passes each question and who has answered it.
    pub fn ask_again(&mut self, since: Time, now: Time, mut ask: impl FnMut(u64, Replicas)) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.asked_at <= since) {
            waiting.asked_at = now;
            ask(waiting.id, waiting.heard);
        }
    }
}
