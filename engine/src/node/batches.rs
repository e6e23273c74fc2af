//! How long a batch waits for company.
//!
//! Not at all: what has come since the last turn is a batch, and batches grow as turns take longer (natural
//! batching). Or for a fixed time. Or for as long as an objective allows: then the time grows by a step with
//! each batch that was answered within the objective, and is halved by one that was not (additive
//! increase, multiplicative decrease: Chiu and Jain 1989; of batch sizes: Crankshaw et al., *Clipper*, NSDI
//! 2017, section 4.3).

use std::collections::VecDeque;

use synod_protocols::types::{Payload, Time};

/// Steps from nothing to the whole objective.
const STEPS: u64 = 64;

/// Batches on their way that are looked at; more than any window has.
const BATCHES_MAX: usize = 256;

/// A batch on its way.
#[derive(Clone, Copy, Debug)]
struct Proposed {
    batch: Payload,
    /// When its first request came.
    since: Time,
}

/// The batches of this replica that are on their way, and how long the next one waits.
#[derive(Debug)]
pub(super) struct Batches {
    linger_ns: u64,
    /// From the first request of a batch to its answer; 0 for a fixed time.
    objective_ns: u64,
    /// Batches that were proposed, oldest first.
    proposed: VecDeque<Proposed>,
    /// Batches that began before were made under a longer wait, and are no news.
    halved_at: Time,
}

impl Batches {
    pub(super) fn new(linger_ns: u64, objective_ns: u64) -> Self {
        let proposed = VecDeque::with_capacity(BATCHES_MAX);
        Self { linger_ns, objective_ns, proposed, halved_at: Time(0) }
    }

    /// How long a batch waits now.
    pub(super) fn linger_ns(&self) -> u64 {
        self.linger_ns
    }

    /// A batch whose first request came at `since` goes to the protocol.
    pub(super) fn propose(&mut self, batch: Payload, since: Time) {
        if self.proposed.len() == BATCHES_MAX {
            self.proposed.pop_front();
        }
        self.proposed.push_back(Proposed { batch, since });
    }

    /// A batch is agreed on, and answered. Those before it never will be: others lead. False for one
    /// that is not known.
    pub(super) fn answer(&mut self, batch: Payload, now: Time) -> bool {
        let place = |it: &Payload| (it.block, it.offset);
        // The last with this place: an earlier one was never answered, and its memory is used again.
        let index = self.proposed.iter().rposition(|it| place(&it.batch) == place(&batch));
        let proposed = index.and_then(|index| self.proposed.drain(..=index).next_back());
        if let Some(Proposed { since, .. }) = proposed {
            self.follow(since, now);
        }
        proposed.is_some()
    }

    /// The objective was met, or not.
    fn follow(&mut self, since: Time, now: Time) {
        if self.objective_ns == 0 {
            return;
        }
        if now.since(since) <= self.objective_ns {
            self.linger_ns = (self.linger_ns + self.objective_ns / STEPS).min(self.objective_ns);
        } else if since >= self.halved_at {
            self.linger_ns /= 2;
            self.halved_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u32) -> Payload {
        Payload { offset, bytes: 8, ..Payload::EMPTY }
    }

    #[test]
    fn it_grows_by_steps_is_halved_once_a_round_and_stays_within_the_objective() {
        let mut batches = Batches::new(0, 6_400);
        for number in 0..100 {
            batches.propose(batch(number), Time(1_000));
            assert!(batches.answer(batch(number), Time(1_000 + 6_400)));
            assert_eq!(batches.linger_ns(), 100 * u64::from(number + 1).min(64));
        }
        // Three that are late together are one sign.
        (0..3).for_each(|number| batches.propose(batch(number), Time(10_000)));
        (0..3).for_each(|number| assert!(batches.answer(batch(number), Time(20_000))));
        assert_eq!(batches.linger_ns(), 3_200);
        // What was never answered is forgotten with the next that is.
        (3..6).for_each(|number| batches.propose(batch(number), Time(20_000)));
        assert!(batches.answer(batch(5), Time(30_000)));
        assert_eq!((batches.linger_ns(), batches.proposed.len()), (1_600, 0));
    }

    #[test]
    fn a_batch_is_not_taken_for_an_earlier_one_whose_memory_it_has() {
        let mut batches = Batches::new(0, 6_400);
        batches.propose(batch(1), Time(0));
        batches.propose(batch(1), Time(5_000));
        assert!(batches.answer(batch(1), Time(7_000)));
        assert_eq!(batches.linger_ns(), 100, "it was in time");
        assert!(batches.proposed.is_empty());
    }

    #[test]
    fn a_fixed_time_stays() {
        let mut batches = Batches::new(500, 0);
        batches.propose(batch(1), Time(0));
        assert!(batches.answer(batch(1), Time(1 << 40)));
        assert!(!batches.answer(batch(1), Time(1 << 40)));
        assert_eq!(batches.linger_ns(), 500);
    }
}
