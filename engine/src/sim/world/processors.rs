//! Who has which processor: threads that share one take turns as yielding threads do.
//!
//! A thread that has more to do keeps its processor for as long as the engine's ring lets it, then
//! whoever has waited longest gets it. Nobody is interrupted in a turn, but by what does not belong to
//! the run at all: then the processor is away for a while, and whatever it was doing takes longer.

use std::collections::VecDeque;

use synod_protocols::protocol::Protocol;
use synod_workloads::{Concern, Random};

use super::{Event, World};
use crate::io::uring::OFFER_NS;
use crate::sim::plan::Plan;

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
    away: Option<Away>,
}

/// When a processor is away, from a random source of its own: it is so whatever the machines do.
#[derive(Debug)]
struct Away {
    lasts_ns: u64,
    between_ns: u64,
    /// The next time, or the present one.
    from: u64,
    until: u64,
    random: Random,
}

impl Away {
    fn new((lasts_ns, between_ns): (u64, u64), random: Random) -> Self {
        let mut away = Self { lasts_ns, between_ns, from: 0, until: 0, random };
        away.go_on();
        away
    }

    /// To the next time. Times vary by half, so that processors do not keep step.
    fn go_on(&mut self) {
        let mut around = |mean: u64| mean / 2 + self.random.below(mean + 1);
        self.from = self.until + around(self.between_ns);
        self.until = self.from + around(self.lasts_ns);
    }

    /// When work that begins at `now`, as soon as the processor is there, ends.
    fn end_of(&mut self, now: u64, cost: u64) -> u64 {
        while self.until <= now {
            self.go_on();
        }
        let mut end = if self.from <= now { self.until } else { now } + cost;
        if self.from <= now && cost > 0 {
            self.go_on();
        }
        while now < self.from && self.from < end {
            end += self.until - self.from;
            self.go_on();
        }
        end
    }
}

impl Processor {
    /// The processors of a plan.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let of = &plan.processors;
        let count = of.iter().max().map_or(0, |last| last + 1);
        let users = |number| of.iter().filter(|&&other| other == number).count();
        let random =
            |number| Random::new(plan.seed ^ 0xa3a1 ^ (number as u64) << 32, Concern::World);
        let processor = |number| Self {
            shared: users(number) > 1,
            away: plan.away.map(|away| Away::new(away, random(number))),
            ..Self::default()
        };
        (0..count).map(processor).collect()
    }

    /// Whether it can do something else now: no turn is under way, and it is not away.
    fn is_free(&mut self, now: u64) -> bool {
        if let Some(away) = &mut self.away {
            self.free_at = self.free_at.max(away.end_of(now, 0));
        }
        self.free_at <= now
    }

    /// It works from now on; returns until when.
    pub(super) fn work(&mut self, now: u64, cost: u64) -> u64 {
        self.free_at = match &mut self.away {
            None => now + cost,
            Some(away) => away.end_of(now, cost),
        };
        self.free_at
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
        if processor.is_free(self.now) && processor.waiting.is_empty() {
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
        while self.processors[number].is_free(self.now)
            && let Some(machine) = self.next_on(number)
        {
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
