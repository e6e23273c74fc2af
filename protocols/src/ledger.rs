//! What a replica of Paxos knows of each slot: its vote, and whether the value is chosen. The name is
//! that of the book in which the legislators of *The Part-Time Parliament* wrote their decrees.
//!
//! Shared by all protocols that agree slot by slot. What a proposer keeps beside each slot differs
//! among them, and is a type of theirs ([`Notes`]).

use crate::log::LOG_SLOTS;
use crate::protocol::{Context, Protocol};
use crate::types::{Ballot, Payload, Slot, Time};
use crate::window::Window;

/// Slots that one answer to a question covers at most: as many as a set of votes has bits.
pub(crate) const PAGE_SLOTS: u64 = u32::BITS as u64;

/// What a protocol keeps for each slot beside the vote.
pub(crate) trait Notes: Copy + Default {
    /// Gives back what they hold, when their slot falls out of the log.
    fn release<P: Protocol, C: Context<P>>(self, cx: &mut C);
}

/// What a replica knows about one slot.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Entry<N> {
    /// Acceptor: the ballot of the vote in `value`; zero when there is none.
    pub(crate) accepted: Ballot,
    /// Acceptor: the batch voted for, or the chosen one. Retained while `has_value`.
    pub(crate) value: Payload,
    /// Learner: whether `value` is known to be chosen.
    pub(crate) chosen: bool,
    /// Whatever else the protocol knows.
    pub(crate) notes: N,
}

impl<N: Notes> Entry<N> {
    pub(crate) fn has_value(&self) -> bool {
        self.chosen || self.accepted > Ballot::ZERO
    }

    /// Takes `value` in the place of the one before.
    pub(crate) fn replace<P: Protocol, C: Context<P>>(&mut self, value: Payload, cx: &mut C) {
        cx.retain(value);
        if self.has_value() {
            cx.release(self.value);
        }
        self.value = value;
    }

    fn release<P: Protocol, C: Context<P>>(self, cx: &mut C) {
        if self.has_value() {
            cx.release(self.value);
        }
        self.notes.release(cx);
    }
}

/// The slots that a replica remembers.
#[derive(Debug)]
pub(crate) struct Ledger<N> {
    log: Window<Entry<N>>,
    /// The first slot that was not applied. Never decreases.
    applied: Slot,
    /// No slot from here on has a vote or a value.
    tail: Slot,
    /// Bytes of applied batches that the log still holds, and how many it may hold.
    retained_bytes: u64,
    retain_bytes: u64,
    /// The end of the page of chosen values that was last asked for.
    learn_until: Slot,
    /// When that may be asked again although the page has not come.
    learn_at: Time,
}

impl<N: Notes> Ledger<N> {
    pub(crate) fn new(retain_bytes: u64) -> Self {
        Self {
            log: Window::new(LOG_SLOTS),
            applied: Slot(0),
            tail: Slot(0),
            retained_bytes: 0,
            retain_bytes,
            learn_until: Slot(0),
            learn_at: Time(0),
        }
    }

    /// The first slot that is remembered.
    pub(crate) const fn base(&self) -> Slot {
        self.log.base()
    }

    /// The first slot for which there is no place yet.
    pub(crate) fn end(&self) -> Slot {
        self.log.end()
    }

    pub(crate) const fn applied(&self) -> Slot {
        self.applied
    }

    pub(crate) const fn tail(&self) -> Slot {
        self.tail
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry<N>> {
        self.log.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry<N>> {
        self.log.get_mut(slot)
    }

    /// The entry of a slot that is about to get a vote or a value.
    pub(crate) fn fill(&mut self, slot: Slot) -> Option<&mut Entry<N>> {
        let entry = self.log.get_mut(slot)?;
        self.tail = self.tail.max(slot.next());
        Some(entry)
    }

    /// The entries from `from` on that may have a vote or a value.
    pub(crate) fn slots(&self, from: Slot) -> impl Iterator<Item = (Slot, &Entry<N>)> {
        (from.0..self.tail.0)
            .map(Slot)
            .filter_map(|slot| self.log.get(slot).map(|entry| (slot, entry)))
    }

    /// Applies chosen slots in order, as far as they go. `reply` says for each whether its clients
    /// are this replica's to answer.
    pub(crate) fn apply<P: Protocol, C: Context<P>>(
        &mut self,
        mut reply: impl FnMut(&mut N) -> bool,
        cx: &mut C,
    ) {
        while let Some(entry) = self.log.get_mut(self.applied)
            && entry.chosen
        {
            cx.commit(self.applied, entry.value, reply(&mut entry.notes));
            self.retained_bytes += u64::from(entry.value.bytes);
            self.applied = self.applied.next();
        }
        self.trim(cx);
    }

    /// Forgets applied slots beyond what is kept for those who lag.
    fn trim<P: Protocol, C: Context<P>>(&mut self, cx: &mut C) {
        let slots_max = (self.log.end() - self.log.base()) / 2;
        while self.log.base() < self.applied
            && (self.retained_bytes > self.retain_bytes
                || self.applied - self.log.base() > slots_max)
        {
            let entry = self.log.advance();
            self.retained_bytes -= u64::from(entry.value.bytes);
            entry.release(cx);
        }
    }

    /// Whether it is time to ask for the page of chosen values that comes next: when the one before
    /// has come, and again after `again_ns`.
    pub(crate) fn asks_to_learn(&mut self, now: Time, again_ns: u64) -> bool {
        let asks = self.applied >= self.learn_until || now >= self.learn_at;
        if asks {
            self.learn_at = now + again_ns;
            self.learn_until = self.applied + PAGE_SLOTS;
        }
        asks
    }

    /// Recovery: what had been applied was chosen, with the value that the log has by now.
    pub(crate) fn replay_applied<P: Protocol, C: Context<P>>(&mut self, applied: Slot, cx: &mut C) {
        for slot in (self.applied.0..applied.0).map(Slot) {
            match self.log.get_mut(slot) {
                Some(entry) if entry.has_value() => entry.chosen = true,
                Some(_) | None => break,
            }
        }
        self.apply(|_| false, cx);
    }

    /// Recovery: a vote, or a value that was learned.
    pub(crate) fn remember<P: Protocol, C: Context<P>>(
        &mut self,
        slot: Slot,
        accepted: Ballot,
        chosen: bool,
        value: Payload,
        cx: &mut C,
    ) {
        if slot < self.applied {
            return;
        }
        let entry = self.fill(slot).expect("a vote was only cast inside the window");
        if entry.chosen {
            return;
        }
        entry.replace(value, cx);
        entry.accepted = entry.accepted.max(accepted);
        entry.chosen = chosen;
    }

    /// The store holds everything below `applied`.
    pub(crate) fn forget_below<P: Protocol, C: Context<P>>(&mut self, applied: Slot, cx: &mut C) {
        self.log.advance_to(applied, |entry: Entry<N>| entry.release(cx));
        self.applied = applied;
        self.retained_bytes = 0;
    }
}
