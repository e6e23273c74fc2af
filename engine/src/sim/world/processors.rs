//! Who has which processor: threads that share one take turns as yielding threads do.
//!
//! A thread that has more to do keeps its processor for as long as the engine's ring lets it, then
//! whoever has waited longest gets it. Nobody is interrupted in a turn.

use std::collections::VecDeque;

use synod_protocols::protocol::Protocol;

use super::{Event, World};
use crate::io::uring::OFFER_NS;

/// A processor, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Processor {
    /// When the turn under way is over.
    pub(super) free_at: u64,
    /// Whose turn was the last.
    last: Option<usize>,
    /// Since when it is always that one, without a pause.
    since: u64,
    /// Machines whose turn is due, the one that has waited longest first.
    waiting: VecDeque<usize>,
    /// Whether it belongs to several machines.
    shared: bool,
}

impl Processor {
    /// The processors of machines; `of` says for each machine which it is.
    pub(super) fn all(of: &[usize]) -> Vec<Self> {
        let count = of.iter().max().map_or(0, |last| last + 1);
        let users = |number| of.iter().filter(|&&other| other == number).count();
        (0..count).map(|number| Self { shared: users(number) > 1, ..Self::default() }).collect()
    }

    /// A machine has it now. True if it did something else before: others ran, or looked for work.
    pub(super) fn take(&mut self, machine: usize, now: u64) -> bool {
        let another = self.last != Some(machine);
        let paused = self.free_at < now;
        if another || paused || now - self.since >= OFFER_NS {
            self.since = now;
        }
        self.last = Some(machine);
        another || (paused && self.shared)
    }
}

impl<P: Protocol> World<P> {
    /// A machine has its turn now, or as soon as its processor is free.
    pub(super) fn claim(&mut self, machine: usize) {
        let number = self.plan.processors[machine];
        let processor = &mut self.processors[number];
        if processor.waiting.is_empty() && processor.free_at <= self.now {
            return self.turn(machine);
        }
        self.machines[machine].turn_at = 0;
        processor.waiting.push_back(machine);
        if processor.waiting.len() == 1 {
            let free_at = processor.free_at;
            self.schedule(free_at, Event::Free(number));
        }
    }

    /// Gives a processor to the next machine.
    pub(super) fn hand_on(&mut self, number: usize) {
        while let Some(machine) = self.next_on(number) {
            // Who was ended while it waited has no turn.
            if self.machines[machine].turn_at <= self.now {
                self.turn(machine);
                break;
            }
        }
        let processor = &self.processors[number];
        if !processor.waiting.is_empty() {
            let free_at = processor.free_at;
            self.schedule(free_at, Event::Free(number));
        }
    }

    /// Whoever had it, if there is more to do and it has not been long; else who waited longest.
    fn next_on(&mut self, number: usize) -> Option<usize> {
        let now = self.now;
        let processor = &mut self.processors[number];
        if let Some(last) = processor.last
            && now - processor.since < OFFER_NS
            && self.machines[last].turn_at <= now
        {
            processor.waiting.retain(|&waiting| waiting != last);
            return Some(last);
        }
        processor.waiting.pop_front()
    }
}
