//! What batches and a pipeline should give, before it is measured.
//!
//! After Santos and Schiper, *Tuning Paxos for High-Throughput with Batching and Pipelining* (ICDCN
//! 2012), reduced to what runs can tell apart. An instance of `k` requests takes the time `T1(k)`
//! from its proposal to its end when it is alone, and keeps the resource that is short (the leader's processor, a
//! link or a disk) busy for `phi(k)`. Both grow with `k` in a line. With `w` instances under way
//!
//! ```text
//! X(k, w) = k * min(w / T1(k), 1 / phi(k))
//! ```
//!
//! so that no more than `w* = ceil(T1 / phi)` instances pay. `C` clients with one request each bound it
//! twice: an instance holds no more than `C / w` requests, and nobody asks again before the answer
//! has come and gone back, which takes the time `away` besides:
//!
//! ```text
//! X <= C / (T1(k) + away)
//! ```

/// A time that grows in a line with the requests of an instance, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// For the instance.
    pub instance_ns: f64,
    /// For each of its requests.
    pub request_ns: f64,
}

impl Line {
    /// The time of an instance of so many requests.
    #[must_use]
    pub fn at(&self, requests: f64) -> f64 {
        self.instance_ns + self.request_ns * requests
    }
}

/// A run that saturated the system: how it was set, and what it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Requests in an instance at most.
    pub batch: u32,
    /// Instances under way at most.
    pub window: u32,
    /// Requests per second.
    pub ops_per_second: f64,
}

/// The costs of a protocol on a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Model {
    /// `T1`: an instance alone.
    pub alone: Line,
    /// `phi`: what it keeps busy.
    pub busy: Line,
    /// What passes for a client between an answer and its next request's proposal, in nanoseconds.
    pub away_ns: f64,
    /// Requests that clients have under way at most.
    pub clients: f64,
}

/// Costs of a model.
const COSTS: usize = 5;

/// Rounds of the search for costs that explain the samples.
const ROUNDS: u32 = 400;

impl Model {
    /// Requests in an instance: no more than clients have under way for each.
    fn requests(&self, batch: u32, window: u32) -> f64 {
        f64::from(batch).min(self.clients / f64::from(window)).max(1.0)
    }

    /// Requests per second of a saturated system.
    #[must_use]
    pub fn ops_per_second(&self, batch: u32, window: u32) -> f64 {
        let requests = self.requests(batch, window);
        let alone = f64::from(window) / self.alone.at(requests);
        let pipeline = requests * 1e9 * alone.min(1.0 / self.busy.at(requests));
        pipeline.min(self.clients * 1e9 / (self.alone.at(requests) + self.away_ns))
    }

    /// `w*`: more instances under way gain nothing.
    #[must_use]
    pub fn window_best(&self, batch: u32) -> f64 {
        let requests = self.requests(batch, 1);
        (self.alone.at(requests) / self.busy.at(requests)).ceil().max(1.0)
    }

    /// The costs that explain the samples best: with the least squares of the logarithms, which
    /// weigh each sample by its relative error. Two batch sizes, each with a window of one and a
    /// large one, are the least that it needs.
    ///
    /// Nothing comes out of samples that do not show all costs.
    #[must_use]
    pub fn fit(samples: &[Sample], clients: u32) -> Option<Self> {
        let positive = |sample: &&Sample| sample.ops_per_second > 0.0;
        let samples: Vec<Sample> = samples.iter().filter(positive).copied().collect();
        let alone: Vec<Sample> = samples.iter().filter(|one| one.window == 1).copied().collect();
        let deep: Vec<Sample> = samples.iter().filter(|one| one.window > 1).copied().collect();
        let clients = f64::from(clients);
        let start = Self { clients, ..Self::default() };
        let (alone, busy) = (line(&start, &alone)?, line(&start, &deep)?);
        let fastest = samples.iter().map(|one| one.ops_per_second).fold(0.0, f64::max);
        let away_ns = (clients * 1e9 / fastest - alone.at(1.0)).max(1.0);
        let guess = Self { alone, busy, away_ns, clients };
        Some(guess.improved(&samples))
    }

    /// Goes downhill: each cost is made more and less by a share that shrinks when nothing helps.
    fn improved(mut self, samples: &[Sample]) -> Self {
        let mut share = 0.5;
        let mut error = self.error(samples);
        for _ in 0..ROUNDS {
            let before = error;
            for cost in 0..COSTS {
                for factor in [1.0 + share, 1.0 / (1.0 + share)] {
                    let mut other = self;
                    *other.cost(cost) *= factor;
                    let other_error = other.error(samples);
                    if other_error < error {
                        (self, error) = (other, other_error);
                    }
                }
            }
            if error >= before {
                share /= 2.0;
            }
        }
        self
    }

    const fn cost(&mut self, index: usize) -> &mut f64 {
        match index {
            0 => &mut self.alone.instance_ns,
            1 => &mut self.alone.request_ns,
            2 => &mut self.busy.instance_ns,
            3 => &mut self.busy.request_ns,
            _ => &mut self.away_ns,
        }
    }

    fn error(&self, samples: &[Sample]) -> f64 {
        let of = |sample: &Sample| {
            let found = self.ops_per_second(sample.batch, sample.window);
            (found / sample.ops_per_second).ln().powi(2)
        };
        samples.iter().map(of).sum()
    }

    /// By how much the prediction for a sample is off, as a share of what was measured.
    #[must_use]
    pub fn off(&self, sample: &Sample) -> f64 {
        let found = self.ops_per_second(sample.batch, sample.window);
        (found - sample.ops_per_second).abs() / sample.ops_per_second
    }
}

/// The line through the times for an instance of the smallest and of the largest batch.
fn line(model: &Model, samples: &[Sample]) -> Option<Line> {
    let small = samples.iter().min_by_key(|sample| sample.batch)?;
    let large = samples.iter().max_by_key(|sample| sample.batch)?;
    let time = |sample: &Sample| {
        let requests = model.requests(sample.batch, sample.window);
        (requests, requests / sample.ops_per_second * 1e9)
    };
    let ((few, short_ns), (many, long_ns)) = (time(small), time(large));
    if many <= few {
        return None;
    }
    // A cost is never nothing, or making it more would not change it.
    let request_ns = ((long_ns - short_ns) / (many - few)).max(short_ns * 1e-4);
    let instance_ns = (short_ns - request_ns * few).max(short_ns * 1e-2);
    Some(Line { instance_ns, request_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of a local network: a round trip of 100 us, `phi` = 20 + 2k us.
    fn lan() -> Model {
        Model {
            alone: Line { instance_ns: 120_000.0, request_ns: 2_000.0 },
            busy: Line { instance_ns: 20_000.0, request_ns: 2_000.0 },
            away_ns: 50_000.0,
            clients: 1e9,
        }
    }

    #[test]
    fn the_worked_example_comes_out() {
        let model = lan();
        for (batch, saturated, alone, window) in [
            (1, 45_454.5, 8_196.7, 6.0),
            (16, 307_692.3, 105_263.2, 3.0),
            (64, 432_432.4, 258_064.5, 2.0),
            (256, 481_203.0, 405_063.3, 2.0),
        ] {
            assert!((model.ops_per_second(batch, 100) - saturated).abs() < 0.1, "{batch}");
            assert!((model.ops_per_second(batch, 1) - alone).abs() < 0.1, "{batch}");
            assert_eq!(model.window_best(batch), window, "{batch}");
        }
    }

    #[test]
    fn clients_bound_what_is_under_way() {
        let model = Model { clients: 64.0, ..lan() };
        assert_eq!(model.ops_per_second(256, 16), model.ops_per_second(4, 16));
        let (answer, all) = (model.ops_per_second(64, 2), 64e9 / (120e3 + 32.0 * 2e3 + 50e3));
        assert!((answer - all).abs() < 1e-6, "{answer} {all}");
    }

    #[test]
    fn costs_are_found_again() {
        let truth = Model { clients: 512.0, ..lan() };
        let sample = |(batch, window)| Sample {
            batch,
            window,
            ops_per_second: truth.ops_per_second(batch, window),
        };
        let samples = [(1, 1), (64, 1), (1, 32), (64, 16), (16, 4), (256, 2)].map(sample);
        let found = Model::fit(&samples, 512).unwrap();
        for batch in [1, 4, 16, 64, 256] {
            for window in [1, 2, 4, 8, 16] {
                let off = found.off(&sample((batch, window)));
                assert!(off < 0.05, "{batch}, {window}: {off}, {found:?}");
            }
        }
        let unlike = samples.map(|sample| Sample { window: 1, ..sample });
        assert_eq!(Model::fit(&unlike, 512), None, "nothing shows what a pipeline gives");
    }
}
