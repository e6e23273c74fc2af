//! Where the latency of operations went, as samples of them show, and for whom they waited.
//!
//! Now and then a client asks the replica that takes a request in to look where its time goes. What such an
//! operation passes follows on each other ([`Part`]), so the parts add up to its latency.
//!
//! An agreement ends whatever part is under way: if the others were faster than this replica's disk, the
//! wait for it ends with them. As long as disk and quorum are both waited for it counts as disk, so the
//! quorum wait is how much longer the others took. Without a log there is no disk.
//!
//! The leader is whoever took the request in, be it one of many coordinators. Where a protocol asks others
//! before it appends anything, as for writes of registers and parts of transactions, no disk is seen and
//! the whole way to the answer is quorum wait, with the disks of all who are waited for. The batch of a get
//! that does not go through the log is the batch of gets that it is in; it is agreed on when the store
//! is asked. A request that was sent twice, redirected or turned away is no sample: it went more
//! than one way.
//!
//! The network is the client's time without the replica's, so their clocks need not agree. In virtual time no
//! time passes within a turn. What it costs is leader CPU where the protocol gets a batch, as the simulator
//! says when that turn is over; elsewhere it is in the part that follows it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Kind;
use crate::summary::ProtocolResult;

/// A part of the latency of an operation. Each begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// From when it was meant to start until the end of the client's turn that gave the request to a
    /// connection.
    Client,
    /// Until a turn of the replica found it; and once more from the end of the reply until a turn of the
    /// client found the answer.
    Network,
    /// Until the protocol got its batch.
    Batch,
    /// Until the end of that turn: what was appended is with the disk, what was said with the sockets.
    Leader,
    /// Until all that the protocol had appended by then for this batch was durable at this replica.
    Disk,
    /// Until the batch was agreed on; where no batches are, until the protocol answered the operation.
    Quorum,
    /// Until all of the batch was applied and answered.
    Apply,
    /// Until the end of that turn, when the answer lies ready for the socket.
    Reply,
}

const KINDS: usize = Kind::ALL.len();

impl Part {
    /// Every part, in the order in which they pass.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Network,
        Self::Batch,
        Self::Leader,
        Self::Disk,
        Self::Quorum,
        Self::Apply,
        Self::Reply,
    ];

    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client queue",
            Self::Network => "network",
            Self::Batch => "batch wait",
            Self::Leader => "leader CPU",
            Self::Disk => "disk",
            Self::Quorum => "quorum wait",
            Self::Apply => "apply",
            Self::Reply => "reply",
        }
    }
}

/// How long each part took, in nanoseconds, in the order of [`Part::ALL`].
pub type Parts = [u64; Part::ALL.len()];

/// The samples of each kind of operation, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleTotals {
    samples: [u64; KINDS],
    parts: [Parts; KINDS],
}

impl SampleTotals {
    /// Adds an operation.
    pub fn add(&mut self, kind: Kind, parts: &Parts) {
        self.add_all(kind, 1, parts);
    }

    /// Adds those of another load thread.
    pub fn merge(&mut self, other: &Self) {
        for kind in Kind::ALL {
            self.add_all(kind, other.samples[kind as usize], &other.parts[kind as usize]);
        }
    }

    fn add_all(&mut self, kind: Kind, samples: u64, parts: &Parts) {
        self.samples[kind as usize] += samples;
        for (total, part) in self.parts[kind as usize].iter_mut().zip(parts) {
            *total += part;
        }
    }
}

/// The parts of the mean latency of some samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// How many there are.
    pub samples: u64,
    /// For each part its mean, in nanoseconds.
    pub mean_ns: BTreeMap<Part, f64>,
}

impl Breakdown {
    /// Of each kind of which there are samples, under [`Kind::name`].
    #[must_use]
    pub fn by_kind(totals: &SampleTotals) -> BTreeMap<String, Self> {
        let sampled = Kind::ALL.into_iter().filter(|&kind| totals.samples[kind as usize] > 0);
        let of = |kind: Kind| {
            let (samples, parts) = (totals.samples[kind as usize], &totals.parts[kind as usize]);
            let means = parts.iter().map(|&total_ns| total_ns as f64 / samples as f64);
            Self { samples, mean_ns: Part::ALL.into_iter().zip(means).collect() }
        };
        sampled.map(|kind| (kind.name().to_owned(), of(kind))).collect()
    }

    /// All samples of several repeats, as if they were of one: their parts add up, where medians would not.
    #[must_use]
    pub fn of_all<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = Self::default();
        for one in all {
            sum.samples += one.samples;
            for (&part, mean_ns) in &one.mean_ns {
                *sum.mean_ns.entry(part).or_default() += mean_ns * one.samples as f64;
            }
        }
        let samples = sum.samples as f64;
        sum.mean_ns.values_mut().for_each(|total_ns| *total_ns /= samples);
        (sum.samples > 0).then_some(sum)
    }

    /// The mean of a part.
    #[must_use]
    pub fn part_ns(&self, part: Part) -> f64 {
        self.mean_ns.get(&part).copied().unwrap_or(0.0)
    }

    /// The mean latency, of which these are the parts.
    #[must_use]
    pub fn total_ns(&self) -> f64 {
        self.mean_ns.values().sum()
    }
}

/// Whom operations waited for: the last of their quorums, each replica with its share of one, the most
/// frequent first. Nobody where replicas do not wait for each other.
#[must_use]
pub fn shares_of_last(result: &ProtocolResult) -> Vec<(usize, f64)> {
    let total: u64 = result.completed_by.iter().sum();
    if result.replicas < 2 {
        return Vec::new();
    }
    let counts = result.completed_by.iter().copied().enumerate();
    let mut counts: Vec<(usize, u64)> = counts.filter(|&(_, count)| count > 0).collect();
    counts.sort_by_key(|&(replica, count)| (Reverse(count), replica));
    counts.into_iter().map(|(replica, count)| (replica, count as f64 / total as f64)).collect()
}

/// The same in words, if there is anybody.
#[must_use]
pub fn last_of_quorums(result: &ProtocolResult) -> Option<String> {
    let words: Vec<String> = shares_of_last(result)
        .into_iter()
        .map(|(replica, share)| format!("replica {replica} for {:.0} %", share * 100.0))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_mean_of_the_samples_of_their_kind() {
        let (mut one, mut other) = (SampleTotals::default(), SampleTotals::default());
        one.add(Kind::Put, &[1, 20, 3, 4, 500, 600, 7, 8]);
        other.add(Kind::Put, &[3, 40, 5, 6, 700, 800, 9, 10]);
        other.add(Kind::Get, &[0, 20, 0, 0, 0, 0, 1, 2]);
        one.merge(&other);
        let by_kind = Breakdown::by_kind(&one);
        assert_eq!(by_kind.keys().collect::<Vec<_>>(), ["get", "put"]);
        let put = &by_kind["put"];
        assert_eq!((put.samples, put.part_ns(Part::Disk)), (2, 600.0));
        assert_eq!(put.total_ns(), f64::from(1_143 + 1_573) / 2.0);
        assert_eq!(by_kind["get"].total_ns(), 23.0);
    }

    #[test]
    fn repeats_weigh_as_much_as_they_have_samples() {
        let of = |samples, quorum_ns| Breakdown {
            samples,
            mean_ns: [(Part::Network, 10.0), (Part::Quorum, quorum_ns)].into(),
        };
        let all = Breakdown::of_all([of(1, 100.0), of(3, 200.0)].iter()).expect("some");
        assert_eq!((all.samples, all.part_ns(Part::Quorum)), (4, 175.0));
        assert_eq!(all.total_ns(), 185.0);
        assert_eq!(Breakdown::of_all(std::iter::empty()), None);
    }

    #[test]
    fn a_document_names_each_part() {
        let breakdown = Breakdown { samples: 1, mean_ns: [(Part::Leader, 1.5)].into() };
        let text = serde_json::to_string(&breakdown).unwrap();
        assert_eq!(text, r#"{"samples":1,"mean_ns":{"leader":1.5}}"#);
        assert_eq!(serde_json::from_str::<Breakdown>(&text).unwrap(), breakdown);
    }

    #[test]
    fn whom_operations_waited_for_most_comes_first() {
        let completed_by = vec![100, 0, 300];
        let result = ProtocolResult { replicas: 3, completed_by, ..ProtocolResult::default() };
        let words = last_of_quorums(&result);
        assert_eq!(words.as_deref(), Some("replica 2 for 75 %, replica 0 for 25 %"));
        assert_eq!(last_of_quorums(&ProtocolResult { replicas: 1, ..result }), None);
    }
}
