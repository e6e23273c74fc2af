//! How much of the processors others take just now.
//!
//! A thread on each processor does nothing but look at the clock and give way, as an idle replica
//! does. Where the clock has jumped, somebody else ran. On a machine that others use as well this is
//! most of what latencies are made of, and it changes from minute to minute: so it is looked at
//! before each run, and no part of what is fitted.

use std::thread;

use synod_workloads::MachineModel;

use crate::cluster;
use crate::io::uring::clock;

/// For how long it is looked.
const LOOK_NS: u64 = 250_000_000;

/// A jump of the clock that is no more than this is a switch to and fro, not work of somebody else.
const JUMP_NS_MIN: u64 = 100_000;

/// The shortest that a model allows.
const BETWEEN_NS_MIN: u64 = 1_000;

/// What others take of each processor, in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Others {
    /// Time that was looked at, in nanoseconds, over all processors.
    looked_ns: u64,
    /// Of it, with others.
    away_ns: u64,
    /// How often.
    times: u64,
}

impl Others {
    /// Looks at all processors at once.
    #[must_use]
    pub fn look() -> Self {
        thread::scope(|scope| {
            let look = |&processor: &usize| scope.spawn(move || look_at(processor));
            let looking: Vec<_> = cluster::processors().iter().map(look).collect();
            let mut all = Self::default();
            for seen in looking {
                all.add(&seen.join().unwrap_or_default());
            }
            all
        })
    }

    /// Adds what was seen at another time, or elsewhere.
    pub const fn add(&mut self, other: &Self) {
        self.looked_ns += other.looked_ns;
        self.away_ns += other.away_ns;
        self.times += other.times;
    }

    /// What they have of the processors.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.away_ns as f64 / self.looked_ns.max(1) as f64
    }

    /// A model with others like these.
    #[must_use]
    pub const fn beside(&self, model: &MachineModel) -> MachineModel {
        if self.times == 0 {
            return MachineModel { away_ns: 0, ..*model };
        }
        let (away_ns, there_ns) = (self.away_ns, self.looked_ns - self.away_ns);
        let (away_ns, between_ns) = (away_ns / self.times, there_ns / self.times);
        // Not even a model is away for ever.
        let between_ns = if between_ns < BETWEEN_NS_MIN { BETWEEN_NS_MIN } else { between_ns };
        MachineModel { away_ns, between_ns, ..*model }
    }
}

fn look_at(processor: usize) -> Others {
    core_affinity::set_for_current(core_affinity::CoreId { id: processor });
    let began = clock();
    let mut before = began;
    let mut seen = Others::default();
    while before.since(began) < LOOK_NS {
        thread::yield_now();
        let now = clock();
        let jump_ns = now.since(before);
        if jump_ns > JUMP_NS_MIN {
            seen.away_ns += jump_ns;
            seen.times += 1;
        }
        before = now;
    }
    seen.looked_ns = before.since(began);
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_as_often_and_as_long_as_they_were_seen() {
        let model = crate::calibrate::start(2);
        let mut others = Others { looked_ns: 100_000, away_ns: 30_000, times: 2 };
        others.add(&Others { looked_ns: 100_000, away_ns: 10_000, times: 2 });
        assert_eq!(others.share(), 0.2);
        let beside = others.beside(&model);
        assert_eq!((beside.away_ns, beside.between_ns), (10_000, 40_000));
        assert_eq!(Others::default().beside(&beside).away_ns, 0, "nobody is there");
    }
}
