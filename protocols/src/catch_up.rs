//! Taking over a leader's log from another replica, a page at a time, without ever being worse than
//! before.
//!
//! The log is compared slot by slot from the first one that was not applied. An entry that was
//! proposed in the same reign is the same, and so is everything before it; the first one that is not
//! is cut off with all that follow. What is cut off was never committed: the leader's log has
//! everything that was. So there is no moment at which this replica has forgotten something that it
//! had acknowledged, and no harm in a crash halfway. (Liskov and Cowling, section 5.2, cut the log
//! at the commit number first: a replica that does so and then takes part in a view change has
//! forgotten what it acknowledged, and the group can lose it.)

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::log::Log;
use crate::protocol::{Context, Protocol};
use crate::types::{Payload, Reign, Slot, Time};

/// Entries that may come before the one that is next, at most.
const EARLY_SLOTS: u64 = 256;

/// An entry of the leader's log. One that came before its turn is retained.
#[derive(Clone, Copy, Debug)]
pub struct Early {
    /// Its slot.
    pub slot: Slot,
    /// The reign in which it was proposed.
    pub reign: Reign,
    /// Its batch.
    pub batch: Payload,
}

/// How far a replica has come with the leader's log, and what it has asked for.
#[derive(Debug)]
pub struct CatchUp {
    /// Entries below this slot are those of the leader's log.
    verified: Slot,
    /// Entries of that log that are ahead, each in the place of its slot: messages overtake each
    /// other.
    early: Box<[Option<Early>]>,
    /// The end of the page that was asked for last.
    page_end: Slot,
    /// When to ask again although that page has not come.
    ask_at: Time,
}

impl Default for CatchUp {
    fn default() -> Self {
        let early: Vec<_> = (0..EARLY_SLOTS).map(|_| None).collect();
        Self {
            verified: Slot(0),
            early: early.into_boxed_slice(),
            page_end: Slot(0),
            ask_at: Time(0),
        }
    }
}

impl CatchUp {
    /// Begins anew: nothing but what was applied is known to be the leader's.
    pub fn begin<P: Protocol>(&mut self, log: &Log, cx: &mut impl Context<P>) {
        self.forget_early(cx);
        (self.verified, self.page_end) = (log.applied(), Slot(0));
    }

    /// The first slot that may not be what the leader has there.
    #[must_use]
    pub const fn verified(&self) -> Slot {
        self.verified
    }

    /// Everything below `slot` is what the leader has.
    pub fn verify(&mut self, slot: Slot) {
        self.verified = self.verified.max(slot);
    }

    /// Everything below `slot` came in another way, and no page is waited for any more.
    pub fn skip_to<P: Protocol>(&mut self, slot: Slot, cx: &mut impl Context<P>) {
        self.forget_early(cx);
        self.verify(slot);
        self.page_end = self.verified;
    }

    /// The leader's entry before `until` was proposed in `reign`: if this log has that one, too, it
    /// has everything before it.
    pub fn compare(&mut self, log: &Log, until: Slot, reign: Reign) {
        if reign > Reign::ZERO && until >= log.base() && log.reign_before(until) == Some(reign) {
            self.verify(until);
        }
    }

    /// Takes in an entry of the leader's log, and those that came before their turn. What the log gets
    /// is appended as the `record` of the entry and of what was applied by then. Whether the entry was
    /// the next one, and there was room for it.
    pub fn take<P: Protocol>(
        &mut self,
        log: &mut Log,
        entry: Early,
        record: impl Fn(Early, Slot) -> P::Record,
        cx: &mut impl Context<P>,
    ) -> bool {
        if !self.take_next(log, entry, &record, cx) {
            self.keep_early(entry, cx);
            return false;
        }
        while let Some(early) = self.take_early() {
            self.take_next(log, early, &record, cx);
            cx.release(early.batch);
        }
        true
    }

    fn take_next<P: Protocol>(
        &mut self,
        log: &mut Log,
        entry: Early,
        record: &impl Fn(Early, Slot) -> P::Record,
        cx: &mut impl Context<P>,
    ) -> bool {
        let Early { slot, reign, batch } = entry;
        if slot != self.verified {
            return false;
        }
        if log.get(slot).is_none_or(|own| own.reign != reign) {
            if slot == log.end() && log.room() == 0 {
                return false;
            }
            log.truncate(slot, cx);
            log.push(reign, batch, cx);
            cx.append(record(entry, log.applied()), batch);
        }
        self.verified = slot.next();
        true
    }

    fn keep_early<P: Protocol>(&mut self, entry: Early, cx: &mut impl Context<P>) {
        let is_ahead = entry.slot > self.verified && entry.slot - self.verified < EARLY_SLOTS;
        let place = self.place(entry.slot);
        if is_ahead && place.is_none_or(|early| early.slot != entry.slot) {
            cx.retain(entry.batch);
            if let Some(other) = place.replace(entry) {
                cx.release(other.batch);
            }
        }
    }

    /// The next entry, if it came before its turn.
    fn take_early(&mut self) -> Option<Early> {
        let next = self.verified;
        self.place(next).take_if(|early| early.slot == next)
    }

    /// Forgets what came before its turn.
    pub fn forget_early<P: Protocol>(&mut self, cx: &mut impl Context<P>) {
        for early in self.early.iter_mut().filter_map(Option::take) {
            cx.release(early.batch);
        }
    }

    fn place(&mut self, slot: Slot) -> &mut Option<Early> {
        let place = usize::try_from(slot.0 % EARLY_SLOTS).expect("a small number");
        &mut self.early[place]
    }

    /// Whether to ask for the page of so many slots from [`Self::verified`] on: the one before has
    /// come, or did not come in time.
    pub fn asks(&mut self, page_slots: usize, now: Time, patience_ns: u64) -> bool {
        let asks = self.verified >= self.page_end || now >= self.ask_at;
        if asks {
            self.page_end = self.verified + page_slots as u64;
            self.ask_at = now + patience_ns;
        }
        asks
    }

    /// Whether the page that was asked for has come.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.verified >= self.page_end
    }
}
