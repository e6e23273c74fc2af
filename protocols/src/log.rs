//! A log of batches without holes, as Raft, Viewstamped Replication and Zab keep it.
//!
//! Each slot holds a batch and the [`Reign`] in which its leader proposed it. Slots below `applied`
//! were applied to the store; some of them stay for those who lag behind. Slots from `applied` to
//! `end` may still be cut off, when another leader's log wins.

use crate::protocol::{Context, Protocol};
use crate::types::{Payload, Reign, Slot};
use crate::window::Window;

/// Slots that a log holds at most: not applied, or applied and kept for those who lag. Where
/// arbitrary inputs are tried they are few, so that a log is soon full, and as soon begun.
pub const LOG_SLOTS: usize = if cfg!(fuzzing) { 1 << 6 } else { 1 << 14 };

/// The same for a log of which others need more than what was not applied: see [`Log::holding`].
const HELD_SLOTS: usize = if cfg!(fuzzing) { 1 << 6 } else { 1 << 20 };

/// Bytes of applied batches that such a log holds at most, beyond what it keeps for those who lag.
const HELD_BYTES_MAX: u64 = 128 << 20;

/// One slot of the log.
#[derive(Clone, Copy, Default, Debug)]
pub struct Entry {
    /// The reign in which it was proposed.
    pub reign: Reign,
    /// What was proposed; the log retains it.
    pub batch: Payload,
}

/// Entries for the slots `base..end`.
#[derive(Debug)]
pub struct Log {
    entries: Window<Entry>,
    /// The reign of the last slot before `base`.
    before: Reign,
    applied: Slot,
    end: Slot,
    retained_bytes: u64,
    retain_bytes: u64,
    /// Entries from here on stay, whatever they take; behind all slots where only those do that were
    /// not applied.
    held_from: Slot,
}

impl Log {
    /// An empty log that keeps up to `retain_bytes` of applied batches.
    #[must_use]
    pub fn new(retain_bytes: u64) -> Self {
        Self {
            entries: Window::new(LOG_SLOTS),
            before: Reign::ZERO,
            applied: Slot(0),
            end: Slot(0),
            retained_bytes: 0,
            retain_bytes,
            held_from: Slot(u64::MAX),
        }
    }

    /// An empty log that keeps, beyond that, all entries from the slot on that [`Self::hold_from`] names
    /// last. If those become too many there is no [`Self::room`].
    #[must_use]
    pub fn holding(retain_bytes: u64) -> Self {
        let entries = Window::new(HELD_SLOTS);
        Self { entries, held_from: Slot(0), ..Self::new(retain_bytes) }
    }

    /// The first slot that is still held; what lies before it is in the store alone.
    #[must_use]
    pub const fn base(&self) -> Slot {
        self.entries.base()
    }

    /// The first slot that was not applied. Never decreases.
    #[must_use]
    pub const fn applied(&self) -> Slot {
        self.applied
    }

    /// The slot of the next entry.
    #[must_use]
    pub const fn end(&self) -> Slot {
        self.end
    }

    /// The first entry that must not be forgotten: it was not applied, or others need it.
    #[must_use]
    pub fn needed_from(&self) -> Slot {
        self.applied.min(self.held_from.max(self.base()))
    }

    /// Entries that can be pushed before something is applied and forgotten.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.retained_bytes > self.retain_bytes + HELD_BYTES_MAX {
            return 0;
        }
        usize::try_from(self.entries.end() - self.end).unwrap_or(usize::MAX)
    }

    /// The reign of the last entry; [`Reign::ZERO`] when there never was one.
    #[must_use]
    pub fn last_reign(&self) -> Reign {
        self.reign_before(self.end).expect("the end is in the log")
    }

    /// The reign of the entry just before `slot`, for `base..=end`; before slot 0 it is
    /// [`Reign::ZERO`]. `None` where the log does not know it.
    #[must_use]
    pub fn reign_before(&self, slot: Slot) -> Option<Reign> {
        if slot == self.base() {
            return Some(self.before);
        }
        slot.0.checked_sub(1).and_then(|before| self.get(Slot(before))).map(|entry| entry.reign)
    }

    /// The entry of a slot of `base..end`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        if slot < self.end { self.entries.get(slot) } else { None }
    }

    /// The entries of `from..end`, from `base` on at the earliest.
    pub fn entries(&self, from: Slot) -> impl Iterator<Item = (Slot, Entry)> {
        (from.max(self.base()).0..self.end.0)
            .map(|slot| (Slot(slot), *self.get(Slot(slot)).expect("between base and end")))
    }

    /// Adds an entry and retains its batch.
    ///
    /// # Panics
    /// If there is no [`room`](Self::room), or the reign is older than that of the entry before.
    pub fn push<P: Protocol>(&mut self, reign: Reign, batch: Payload, cx: &mut impl Context<P>) {
        assert!(reign >= self.last_reign(), "reigns never decrease along a log");
        cx.retain(batch);
        let place = self.entries.get_mut(self.end).expect("the caller has looked for room");
        *place = Entry { reign, batch };
        self.end = self.end.next();
    }

    /// Cuts off the entries from `from` on.
    ///
    /// # Panics
    /// If one of them was applied: it was committed, and no leader's log lacks it.
    pub fn truncate<P: Protocol>(&mut self, from: Slot, cx: &mut impl Context<P>) {
        assert!(from >= self.applied, "a committed entry is cut off");
        while self.end > from {
            self.end = Slot(self.end.0 - 1);
            let place = self.entries.get_mut(self.end).expect("between base and end");
            cx.release(core::mem::take(place).batch);
        }
    }

    /// Applies what lies below `committed`, as far as the log goes, and answers the clients if
    /// `reply`.
    pub fn apply<P: Protocol>(&mut self, committed: Slot, reply: bool, cx: &mut impl Context<P>) {
        while let Some((slot, batch)) = self.take_applied(committed) {
            cx.commit(slot, batch, reply);
        }
        self.trim(cx);
    }

    /// Takes what lies below `committed` for applied, as far as the log goes, where nothing is executed.
    pub fn pass<P: Protocol>(&mut self, committed: Slot, cx: &mut impl Context<P>) {
        while self.take_applied(committed).is_some() {}
        self.trim(cx);
    }

    /// The next entry below `committed`, which counts as applied from now on.
    fn take_applied(&mut self, committed: Slot) -> Option<(Slot, Payload)> {
        let slot = self.applied;
        let batch = self.get(slot).filter(|_| slot < committed)?.batch;
        self.retained_bytes += u64::from(batch.bytes);
        self.applied = slot.next();
        Some((slot, batch))
    }

    /// Nobody needs entries before `slot` any more, if they were applied.
    pub fn hold_from<P: Protocol>(&mut self, slot: Slot, cx: &mut impl Context<P>) {
        self.held_from = self.held_from.max(slot);
        self.trim(cx);
    }

    /// Forgets applied entries beyond what is kept for those who lag.
    fn trim<P: Protocol>(&mut self, cx: &mut impl Context<P>) {
        let slots_max = (self.entries.end() - self.base()) / 2;
        while self.base() < self.applied.min(self.held_from)
            && (self.retained_bytes > self.retain_bytes || self.applied - self.base() > slots_max)
        {
            let entry = self.entries.advance();
            self.before = entry.reign;
            self.retained_bytes -= u64::from(entry.batch.bytes);
            cx.release(entry.batch);
        }
    }

    /// The store holds everything below `applied`, the last of it proposed in `reign`: a snapshot
    /// was installed, or is being replayed. Entries from there on stay if the log agrees with the
    /// snapshot so far, and are dropped otherwise.
    ///
    /// # Panics
    /// If the store would go back.
    pub fn install<P: Protocol>(&mut self, applied: Slot, reign: Reign, cx: &mut impl Context<P>) {
        assert!(applied >= self.applied);
        if self.reign_before(applied) != Some(reign) {
            self.truncate(self.applied, cx);
        }
        self.entries.advance_to(applied, |entry| cx.release(entry.batch));
        self.before = reign;
        self.applied = applied;
        self.end = self.end.max(applied);
        self.retained_bytes = 0;
    }

    /// The store holds everything below `applied`, and it is not known in which reign the last of it
    /// was proposed. Entries from there on stay, whether they agree with the snapshot or not: they may
    /// have been acknowledged, and do not count before they are compared with a log that does agree.
    pub fn skip_to<P: Protocol>(&mut self, applied: Slot, cx: &mut impl Context<P>) {
        let reign = if applied <= self.end { self.reign_before(applied) } else { None };
        self.install(applied, reign.unwrap_or(Reign::ZERO), cx);
    }

    /// Recovery: an entry that was added in an earlier life, when it followed on the entry before. What
    /// was there from its slot on was cut off then, unless it was the same.
    pub fn replay<P: Protocol>(
        &mut self,
        slot: Slot,
        reign: Reign,
        batch: Payload,
        cx: &mut impl Context<P>,
    ) {
        let present = self.get(slot).is_some_and(|entry| entry.reign == reign);
        if slot >= self.applied && !present {
            self.truncate(slot, cx);
            assert_eq!(slot, self.end, "an entry is missing before {slot:?}");
            self.push(reign, batch, cx);
        }
    }

    /// Asserts every invariant that the log can see by itself. That reigns never decrease along it is
    /// asserted as entries come.
    pub fn check(&self) {
        assert!(self.base() <= self.applied && self.applied <= self.end);
        assert!(self.end <= self.entries.end());
        assert!(self.get(self.base()).is_none_or(|first| self.before <= first.reign));
    }
}
