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

/// The time that batches wait, and what it follows from.
#[derive(Debug)]
pub(super) struct Linger {
    ns: u64,
    /// From the first request of a batch to its answer; 0 for a fixed time.
    objective_ns: u64,
    /// Batches that were proposed, with the time of their first request, oldest first.
    proposed: VecDeque<(Payload, Time)>,
    /// Batches that began before were made under a longer wait, and are no news.
    halved_at: Time,
}

impl Linger {
    pub(super) fn new(ns: u64, objective_ns: u64) -> Self {
        let proposed = VecDeque::with_capacity(if objective_ns > 0 { BATCHES_MAX } else { 0 });
        Self { ns, objective_ns, proposed, halved_at: Time(0) }
    }

    /// How long a batch waits now.
    pub(super) fn ns(&self) -> u64 {
        self.ns
    }

    /// A batch whose first request came at `since` goes to the protocol.
    pub(super) fn propose(&mut self, batch: Payload, since: Time) {
        if self.objective_ns == 0 {
            return;
        }
        if self.proposed.len() == BATCHES_MAX {
            self.proposed.pop_front();
        }
        self.proposed.push_back((batch, since));
    }

    /// A batch is answered. Those before it never will be: others lead.
    pub(super) fn answer(&mut self, batch: Payload, now: Time) {
        let is_it = |(proposed, _): &(Payload, Time)| {
            (proposed.block, proposed.offset) == (batch.block, batch.offset)
        };
        let Some(place) = self.proposed.iter().position(is_it) else { return };
        let (_, since) = self.proposed.drain(..=place).next_back().expect("it was found");
        if now.since(since) <= self.objective_ns {
            self.ns = (self.ns + self.objective_ns / STEPS).min(self.objective_ns);
        } else if since >= self.halved_at {
            self.ns /= 2;
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
        let mut linger = Linger::new(0, 6_400);
        for number in 0..100 {
            linger.propose(batch(number), Time(1_000));
            linger.answer(batch(number), Time(1_000 + 6_400));
            assert_eq!(linger.ns(), 100 * u64::from(number + 1).min(64));
        }
        // Three that are late together are one sign.
        (0..3).for_each(|number| linger.propose(batch(number), Time(10_000)));
        (0..3).for_each(|number| linger.answer(batch(number), Time(20_000)));
        assert_eq!(linger.ns(), 3_200);
        // What was never answered is forgotten with the next that is.
        (3..6).for_each(|number| linger.propose(batch(number), Time(20_000)));
        linger.answer(batch(5), Time(30_000));
        assert_eq!((linger.ns(), linger.proposed.len()), (1_600, 0));
    }

    #[test]
    fn a_fixed_time_stays() {
        let mut linger = Linger::new(500, 0);
        linger.propose(batch(1), Time(0));
        linger.answer(batch(1), Time(1 << 40));
        assert_eq!(linger.ns(), 500);
    }
}
