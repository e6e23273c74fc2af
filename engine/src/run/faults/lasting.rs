//! Faults that go on for a while, and what was counted while they did.

use synod_workloads::{Fault, FaultAction};

use super::super::breakable::Breakable;
use crate::cluster::links::{LinkFault, pairs};
use crate::emulate::{DiskCounts, LinkCounts};

/// How long after the end of a fault the replicas may still tell what they counted.
const SETTLE_NS: u64 = 250_000_000;

/// A fault that goes on, or has just ended.
#[derive(Debug)]
pub(super) struct Lasting {
    /// Which of the faults that were done.
    pub(super) note: usize,
    fault: Fault,
    target: usize,
    began_ns: u64,
    /// When it ends by itself.
    ends_ns: Option<u64>,
    ended_ns: Option<u64>,
    link_fault: Option<LinkFault>,
    /// What had been counted before: for each pair of replicas, and of the target's disk.
    links_before: Vec<LinkCounts>,
    disk_before: DiskCounts,
}

/// What has become of a lasting fault.
pub(super) enum Progress {
    /// It goes on.
    GoesOn,
    /// It is over, with this evidence.
    Over(String),
    /// Its target has ended as it should, with this evidence.
    TargetEnded(String),
}

impl Lasting {
    pub(super) fn begin(
        note: usize,
        at_ns: u64,
        fault: &Fault,
        target: usize,
        cluster: &mut impl Breakable,
    ) -> Self {
        let mut begun = Self {
            note,
            fault: fault.clone(),
            target,
            began_ns: at_ns,
            ends_ns: fault.for_ns.map(|for_ns| at_ns + for_ns),
            ended_ns: None,
            link_fault: None,
            links_before: Vec::new(),
            disk_before: cluster.evidence(target).disk,
        };
        begun.links_before = begun.link_counts(cluster);
        if fault.action.is_of_links() {
            begun.link_fault = cluster.begin_link_fault(fault, target);
        } else if fault.action == FaultAction::Stall {
            cluster.stall(target, fault.for_ns.unwrap_or(0));
        } else {
            cluster.fail_write(target);
        }
        begun
    }

    /// Whether the target is about to end.
    pub(super) fn ends(&self, id: usize) -> bool {
        self.target == id && self.fault.action == FaultAction::DiskError
    }

    /// When the target of a disk error is started again after its end.
    pub(super) fn restart(&self) -> (usize, Option<u64>) {
        (self.target, self.fault.restart_after_ns)
    }

    /// Looks how it is going.
    pub(super) fn look(&mut self, now_ns: u64, cluster: &mut impl Breakable) -> Progress {
        if self.fault.action == FaultAction::DiskError {
            let words = cluster.last_words(self.target);
            return words.map_or(Progress::GoesOn, Progress::TargetEnded);
        }
        if self.ended_ns.is_none() && self.ends_ns.is_some_and(|ends_ns| ends_ns <= now_ns) {
            self.end(now_ns, cluster);
        }
        match self.ended_ns {
            Some(ended_ns) if now_ns >= ended_ns + SETTLE_NS => {
                Progress::Over(self.evidence(now_ns, cluster))
            }
            Some(_) | None => Progress::GoesOn,
        }
    }

    fn end(&mut self, now_ns: u64, cluster: &mut impl Breakable) {
        self.ended_ns = Some(now_ns);
        if let Some(fault) = self.link_fault.take() {
            cluster.end_link_fault(fault);
        }
    }

    /// What was counted since it began; empty if it did not do what it should.
    pub(super) fn evidence(&self, now_ns: u64, cluster: &impl Breakable) -> String {
        let lasted_s = self.ended_ns.unwrap_or(now_ns).saturating_sub(self.began_ns) as f64 / 1e9;
        let signs = match self.fault.action {
            FaultAction::Degrade | FaultAction::Partition => self.signs_of_links(cluster),
            FaultAction::Stall => self.signs_of_stall(cluster),
            // A disk error leaves last words, and the others do not last.
            FaultAction::DiskError
            | FaultAction::Kill
            | FaultAction::Wipe
            | FaultAction::Pause
            | FaultAction::Resume
            | FaultAction::Restart
            | FaultAction::Transfer
            | FaultAction::Add
            | FaultAction::Remove => None,
        };
        signs.map_or_else(String::new, |signs| format!("{signs} in {lasted_s:.1} s"))
    }

    fn signs_of_links(&self, cluster: &impl Breakable) -> Option<String> {
        let mut total = LinkCounts::default();
        for (now, before) in self.link_counts(cluster).iter().zip(&self.links_before) {
            total.lost += grown(now.lost, before.lost);
            total.doubled += grown(now.doubled, before.doubled);
            total.delayed += grown(now.delayed, before.delayed);
            total.delayed_ns += grown(now.delayed_ns, before.delayed_ns);
            total.held += grown(now.held, before.held);
        }
        let lost = format!("{} frames lost", total.lost);
        let Some(link) = &self.fault.link else {
            return match (self.fault.hold, total.lost, total.held) {
                (false, 1.., _) => Some(lost),
                (true, _, 1..) => Some(format!("{} frames held", total.held)),
                (..) => None,
            };
        };
        let mean_ms = total.delayed_ns as f64 / total.delayed.max(1) as f64 / 1e6;
        let delayed = format!("{} frames late by {mean_ms:.2} ms on average", total.delayed);
        let doubled = format!("{} frames doubled", total.doubled);
        let wanted = [
            (link.delays() || link.bandwidth_bytes.is_some(), total.delayed, delayed),
            (link.loss_ppm > 0, total.lost, lost),
            (link.duplication_ppm > 0, total.doubled, doubled),
        ];
        // Each effect that was asked for must have shown.
        if wanted.iter().any(|&(wanted, count, _)| wanted && count == 0) {
            return None;
        }
        let signs: Vec<String> =
            wanted.into_iter().filter(|(wanted, ..)| *wanted).map(|(.., sign)| sign).collect();
        Some(signs.join(", "))
    }

    fn signs_of_stall(&self, cluster: &impl Breakable) -> Option<String> {
        let (now, before) = (cluster.evidence(self.target).disk, self.disk_before);
        let writes = grown(now.stalled, before.stalled);
        let late_ms = grown(now.stalled_ns, before.stalled_ns) as f64 / writes.max(1) as f64 / 1e6;
        (writes > 0).then(|| format!("{writes} writes late by {late_ms:.1} ms on average"))
    }

    fn link_counts(&self, cluster: &impl Breakable) -> Vec<LinkCounts> {
        if !self.fault.action.is_of_links() {
            return Vec::new();
        }
        pairs(&self.fault, self.target, cluster.len())
            .into_iter()
            .map(|(from, to)| cluster.evidence(from).links.get(to).copied().unwrap_or_default())
            .collect()
    }
}

/// How much a count grew; one that fell is that of a new life.
fn grown(now: u64, before: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}
