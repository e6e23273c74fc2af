//! Gets that do not go through the log, and wait until the store may answer them.
//!
//! A leader answers them by itself while it has a [`Lease`]. A follower that has heard the leader
//! votes for no one else for a while on its own clock. Once a quorum of them has answered a heartbeat,
//! so that nobody is elected without one of them, nobody else can lead until that long after the
//! heartbeat was *sent*. What was promised so must outlive a crash: a replica that starts is loyal to
//! nobody in particular for as long. (Gray and Cheriton, *Leases*, SOSP 1989.)

use alloc::collections::VecDeque;

use crate::protocol::{Context, Protocol, TURN_NS_MAX};
use crate::types::{Payload, REPLICAS_MAX, ReplicaId, Replicas, Slot, Time};

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

    /// Answers those for which enough replicas were heard and whose slots are applied.
    pub fn serve<P: Protocol>(
        &mut self,
        applied: Slot,
        is_enough: impl Fn(Replicas) -> bool,
        cx: &mut impl Context<P>,
    ) {
        self.waiting.retain(|waiting| {
            let is_ready = is_enough(waiting.heard) && waiting.until <= applied;
            if is_ready {
                cx.serve(waiting.gets);
                cx.release(waiting.gets);
            }
            !is_ready
        });
    }

    /// The number of the next question.
    #[must_use]
    pub const fn next_id(&self) -> u64 {
        self.next_id
    }

    /// A replica has answered all questions before the one with this number, and knows of nothing
    /// that the gets would have to wait for. Only for questions that are numbered from zero.
    pub fn hear_before(&mut self, id: u64, from: ReplicaId) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.id < id) {
            waiting.heard.insert(from);
        }
    }

    /// Sends all clients to another replica.
    pub fn redirect<P: Protocol>(&mut self, to: Option<ReplicaId>, cx: &mut impl Context<P>) {
        for waiting in self.waiting.drain(..) {
            cx.redirect(waiting.gets, to);
            cx.release(waiting.gets);
        }
    }

    /// When a question is to be asked again, if answers take `patience_ns` at most.
    #[must_use]
    pub fn ask_at(&self, patience_ns: u64) -> Time {
        let asked_at = self.waiting.iter().map(|waiting| waiting.asked_at).min();
        asked_at.map_or(Time::NEVER, |asked_at| asked_at + patience_ns)
    }

    /// Whether somebody waits for a slot that is not applied yet.
    #[must_use]
    pub fn lacks(&self, applied: Slot) -> bool {
        self.waiting.iter().any(|waiting| waiting.until > applied)
    }

    /// Asks again what was asked `patience_ns` ago or before: passes each question and who has answered it.
    pub fn ask_again(&mut self, now: Time, patience_ns: u64, mut ask: impl FnMut(u64, Replicas)) {
        let is_due = |waiting: &&mut Waiting| now.since(waiting.asked_at) >= patience_ns;
        for waiting in self.waiting.iter_mut().filter(is_due) {
            waiting.asked_at = now;
            ask(waiting.id, waiting.heard);
        }
    }
}

/// A leader's right to answer gets by itself.
#[derive(Debug)]
pub struct Lease {
    /// When each replica was certainly loyal, on the leader's clock.
    loyal_since: [Time; REPLICAS_MAX],
    /// Until when nobody else can lead.
    until: Time,
    /// Whether it was given up.
    is_over: bool,
    lasts_ns: u64,
}

impl Lease {
    /// None yet. Followers are loyal for `loyal_ns` on their clocks, which may be so much faster or
    /// slower than real time.
    #[must_use]
    pub fn new(loyal_ns: u64, drift_ppm: u64) -> Self {
        let lasts_ns = lease_ns(loyal_ns, drift_ppm);
        Self { loyal_since: [Time(0); REPLICAS_MAX], until: Time(0), is_over: false, lasts_ns }
    }

    /// A new reign: nobody has been loyal to it.
    pub fn begin(&mut self) {
        self.loyal_since = [Time(0); REPLICAS_MAX];
        self.until = Time(0);
        self.is_over = false;
    }

    /// Gives the lease up until the reign ends: somebody else may lead from now on.
    pub fn give_up(&mut self) {
        self.is_over = true;
    }

    /// `from` has answered the heartbeat that `leader` sent at `sent`, so it is loyal until long after.
    /// The leader is always loyal to itself; nobody leads without one of any `quorum` of the `voters`.
    pub fn renew(
        &mut self,
        leader: ReplicaId,
        from: ReplicaId,
        sent: Time,
        (voters, quorum): (Replicas, usize),
        now: Time,
    ) {
        if sent > now {
            return;
        }
        self.loyal_since[from.index()] = self.loyal_since[from.index()].max(sent);
        self.loyal_since[leader.index()] = now;
        let mut since = [Time(0); REPLICAS_MAX];
        for (place, voter) in since.iter_mut().zip(voters.iter()) {
            *place = self.loyal_since[voter.index()];
        }
        since.sort_unstable();
        let quorum_since = since[since.len() - quorum];
        if quorum_since > Time(0) {
            self.until = self.until.max(quorum_since + self.lasts_ns);
        }
    }

    /// Whether nobody else can lead now.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        now < self.until && !self.is_over
    }
}

/// How long a lease lasts on the leader's clock, when followers are loyal for `loyal_ns` on theirs.
/// Zero when there is nothing left of it.
#[must_use]
pub fn lease_ns(loyal_ns: u64, drift_ppm: u64) -> u64 {
    // The leader's clock may be slow, and the follower's fast.
    (loyal_ns / 1_000_000 * (1_000_000 - 2 * drift_ppm)).saturating_sub(TURN_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_any_follower_is_free() {
        for loyal_ns in [20_000_000, 200_000_000, 60_000_000_000] {
            for drift_ppm in [0, 1, 1_000, 100_000] {
                let lease_ns = lease_ns(loyal_ns, drift_ppm);
                // On real time: the leader's clock is as slow, the follower's as fast as they may.
                let million = 1_000_000_u128;
                let leader = u128::from(lease_ns + TURN_NS_MAX) * million
                    / (million - u128::from(drift_ppm));
                let follower = u128::from(loyal_ns) * million / (million + u128::from(drift_ppm));
                assert!(leader <= follower, "{loyal_ns} {drift_ppm}");
            }
        }
        assert_eq!(lease_ns(TURN_NS_MAX / 2, 0), 0);
    }
}
