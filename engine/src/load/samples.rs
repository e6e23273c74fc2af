//! Which operations are looked at part by part, and what is known of each until its replica tells the
//! rest.

use synod_protocols::types::Time;
use synod_results::breakdown::{Part, Parts};
use synod_results::history::Kind;
use synod_workloads::{Concern, Random};

use crate::spans::Spans;

/// Operations of a load thread that are looked at at a time; while there are so many none is added.
const SAMPLES_MAX: usize = 256;

/// The stages at a replica are the last parts.
const STAGES_FROM: usize = Part::Batch as usize;

/// The request of a client that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) client: u32,
    pub(super) group: usize,
    pub(super) session_index: u32,
    pub(super) sequence: u64,
    /// When it was meant to start.
    pub(super) intended: Time,
    /// When it was given to a socket.
    sent: Option<Time>,
    /// What it was, and when a turn found its answer.
    ended: Option<(Kind, Time)>,
}

impl Sample {
    pub(super) fn new(
        client: u32,
        group: usize,
        (session_index, sequence): (u32, u64),
        intended: Time,
    ) -> Self {
        Self { client, group, session_index, sequence, intended, sent: None, ended: None }
    }
}

/// An operation of which all parts are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampled {
    pub(super) kind: Kind,
    pub(super) ended: Time,
    pub(super) parts: Parts,
}

/// All samples of a load thread.
#[derive(Debug)]
pub(super) struct Samples {
    /// One operation of so many, in the mean; 0 for none.
    every: u64,
    /// Operations until the next one, itself included.
    left: u64,
    random: Random,
    under_way: Vec<Sample>,
}

impl Samples {
    pub(super) fn new(every: u32, seed: u64) -> Self {
        let random = Random::new(seed, Concern::Samples);
        let under_way = Vec::with_capacity(SAMPLES_MAX);
        let mut samples = Self { every: every.into(), left: 0, random, under_way };
        samples.draw();
        samples
    }

    /// Whether the next operation is one. With equal gaps it might always be that of the same client.
    #[inline]
    pub(super) fn next(&mut self) -> bool {
        self.left -= 1;
        self.left == 0 && self.draw()
    }

    /// Draws the next gap; whether there is room for the operation that ends the present one.
    #[cold]
    fn draw(&mut self) -> bool {
        self.left = match self.every {
            0 => u64::MAX,
            every => 1 + self.random.below(2 * every - 1),
        };
        if self.under_way.len() == SAMPLES_MAX {
            // Nobody has told the rest of these, and nobody will any more.
            self.under_way.retain(|sample| sample.ended.is_none());
        }
        self.under_way.len() < SAMPLES_MAX
    }

    /// A request is given to its connection.
    pub(super) fn begin(&mut self, sample: Sample) {
        self.under_way.push(sample);
    }

    /// What was given to connections is with their sockets; it is asked when that is if there is any.
    pub(super) fn note_sent(&mut self, now: impl FnOnce() -> Time) {
        let mut fresh = self.under_way.iter_mut().filter(|it| it.sent.is_none()).peekable();
        if fresh.peek().is_some() {
            let now = now();
            fresh.for_each(|sample| sample.sent = Some(now));
        }
    }

    /// A turn at `now` found the answer to a client's request.
    pub(super) fn end(&mut self, client: u32, kind: Kind, now: Time) {
        let of_client = |it: &&mut Sample| it.client == client && it.ended.is_none();
        if let Some(sample) = self.under_way.iter_mut().find(of_client) {
            sample.ended = Some((kind, now));
        }
    }

    /// A client's request goes more than one way.
    pub(super) fn forget(&mut self, client: u32) {
        self.under_way.retain(|it| it.client != client || it.ended.is_some());
    }

    /// The replica tells how long its stages took. Nothing for a request that is not looked at any more.
    pub(super) fn told(&mut self, client: u32, group: usize, spans: &Spans) -> Option<Sampled> {
        let index = self.under_way.iter().position(|it| {
            let request = (it.client, it.group, it.session_index, it.sequence);
            request == (client, group, spans.session_index, spans.sequence)
        })?;
        let sample = self.under_way.swap_remove(index);
        let ((kind, ended), sent) = (sample.ended?, sample.sent?);
        let there_ns = spans.stages_ns.iter().sum();
        let mut parts = [0; Part::ALL.len()];
        parts[Part::Client as usize] = sent.since(sample.intended);
        parts[Part::Network as usize] = ended.since(sent).checked_sub(there_ns)?;
        parts[STAGES_FROM..].copy_from_slice(&spans.stages_ns);
        Some(Sampled { kind, ended, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(every: u32) -> Samples {
        Samples::new(every, 1)
    }

    fn put(client: u32) -> Sample {
        Sample::new(client, 0, (client + 1, 5), Time(100))
    }

    fn told(samples: &mut Samples, client: u32, stages_ns: [u64; 6]) -> Option<Sampled> {
        samples.told(client, 0, &Spans { session_index: client + 1, sequence: 5, stages_ns })
    }

    #[test]
    fn what_the_replica_does_not_account_for_is_the_network() {
        let mut samples = samples(1024);
        samples.begin(put(3));
        samples.note_sent(|| Time(150));
        samples.end(3, Kind::Put, Time(1_000));
        let sampled = told(&mut samples, 3, [10, 20, 30, 40, 50, 60]).unwrap();
        assert_eq!(sampled.parts, [50, 850 - 210, 10, 20, 30, 40, 50, 60]);
        assert_eq!(sampled.parts.iter().sum::<u64>(), 900, "the latency");
        assert_eq!(told(&mut samples, 3, [0; 6]), None, "it is told once");
    }

    #[test]
    fn what_goes_another_way_is_no_sample() {
        let mut samples = samples(1024);
        samples.begin(put(3));
        samples.begin(put(4));
        samples.note_sent(|| Time(150));
        samples.forget(3);
        samples.end(3, Kind::Put, Time(1_000));
        assert_eq!(told(&mut samples, 3, [0; 6]), None);
        assert_eq!(told(&mut samples, 4, [0; 6]), None, "it was not answered");
        samples.begin(put(5));
        samples.note_sent(|| Time(200));
        samples.end(5, Kind::Put, Time(300));
        assert_eq!(told(&mut samples, 5, [101, 0, 0, 0, 0, 0]), None, "no clock runs so fast");
    }

    #[test]
    fn one_of_so_many_is_drawn_at_uneven_gaps_while_there_is_room() {
        let mut samples = samples(64);
        let drawn: Vec<u32> = (0..64_000).filter(|_| samples.next()).collect();
        assert!((900..1_100).contains(&drawn.len()), "{}", drawn.len());
        assert!(drawn.windows(2).any(|pair| pair[1] - pair[0] != drawn[1] - drawn[0]));
        let mut each = self::samples(1);
        for client in 0..300 {
            if each.next() {
                each.begin(put(client));
            }
        }
        assert_eq!(each.under_way.len(), SAMPLES_MAX);
        assert!((0..64_000).all(|_| !self::samples(0).next()));
        each.end(7, Kind::Put, Time(500));
        assert!(each.next(), "what ended and was never told makes room");
    }
}
