//! What the links between replicas do at the moment: what the workload says of the whole run, and
//! the faults that last, the youngest over the older ones.

use synod_workloads::{Cluster as Spec, Direction, Fault, Link, Spread, Workload};

use crate::emulate::{Cut, Rule};
use crate::latency::Latency;

const MILLION_PPM: u32 = 1_000_000;

/// The emulated links of a cluster.
#[derive(Debug)]
pub(crate) struct Links {
    /// From each replica to each other, without faults.
    base: Vec<Vec<Rule>>,
    /// Those that last, the oldest first.
    faults: Vec<(LinkFault, Fault)>,
    numbered: u64,
}

/// Names a fault of links for as long as it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LinkFault(u64);

impl Links {
    /// The links of a workload with faults that only emulation can bring about; else `None`.
    pub(crate) fn of(workload: &Workload, replicas: usize) -> Option<Self> {
        let emulated = workload.cluster.links.is_some()
            || workload
                .faults
                .iter()
                .any(|fault| fault.action.is_of_links() || fault.action.is_of_disk());
        emulated.then(|| Self {
            base: (0..replicas)
                .map(|from| (0..replicas).map(|to| base(&workload.cluster, from, to)).collect())
                .collect(),
            faults: Vec::new(),
            numbered: 0,
        })
    }

    /// A fault begins; its target is known now.
    pub(crate) fn begin(&mut self, fault: &Fault, target: usize) -> LinkFault {
        let mut fault = fault.clone();
        fault.target =
            synod_workloads::Target::Replica(u8::try_from(target).expect("replicas are few"));
        self.numbered += 1;
        self.faults.push((LinkFault(self.numbered), fault));
        LinkFault(self.numbered)
    }

    /// A fault is over.
    pub(crate) fn end(&mut self, ended: LinkFault) {
        self.faults.retain(|&(fault, _)| fault != ended);
    }

    /// What holds for what a replica sends to each.
    pub(crate) fn rules(&self, from: usize) -> Vec<Rule> {
        let replicas = self.base.len();
        let mut rules = self.base[from].clone();
        for (_, fault) in &self.faults {
            let synod_workloads::Target::Replica(target) = fault.target else { continue };
            for (source, to) in pairs(fault, usize::from(target), replicas) {
                if source == from {
                    strike(&mut rules[to], fault);
                }
            }
        }
        rules
    }
}

/// From whom to whom a fault of links works.
pub(crate) fn pairs(fault: &Fault, target: usize, replicas: usize) -> Vec<(usize, usize)> {
    let concerned = |peer: &usize| {
        *peer != target
            && (fault.peers.is_empty() || fault.peers.iter().any(|&id| usize::from(id) == *peer))
    };
    let peers = (0..replicas).filter(concerned);
    peers
        .flat_map(|peer| [(Direction::Out, target, peer), (Direction::In, peer, target)])
        .filter(|&(way, ..)| fault.direction == Direction::Both || fault.direction == way)
        .map(|(_, from, to)| (from, to))
        .collect()
}

fn strike(rule: &mut Rule, fault: &Fault) {
    let Some(link) = &fault.link else {
        rule.cut = if fault.hold { Cut::Holds } else { Cut::Loses };
        return;
    };
    if link.delays() {
        rule.latency = latency(link);
    }
    if link.loss_ppm > 0 {
        rule.loss_ppm = link.loss_ppm;
    }
    if link.duplication_ppm > 0 {
        rule.duplication_ppm = link.duplication_ppm;
    }
    rule.bytes_per_second = link.bandwidth_bytes.unwrap_or(rule.bytes_per_second);
    rule.reorder |= link.reorder;
}

fn base(spec: &Spec, from: usize, to: usize) -> Rule {
    let Some(links) = spec.links.as_ref().filter(|_| from != to) else { return Rule::CLEAR };
    let mut link = links.all;
    if let Some(rows) = &links.delays_ns {
        link.delay_ns = rows[from][to];
    }
    assert!(link.loss_ppm <= MILLION_PPM, "a share is at most all");
    Rule {
        latency: latency(&link),
        loss_ppm: link.loss_ppm,
        duplication_ppm: link.duplication_ppm,
        bytes_per_second: link.bandwidth_bytes.unwrap_or(0),
        reorder: link.reorder,
        cut: Cut::Open,
    }
}

fn latency(link: &Link) -> Latency {
    let (delay_ns, jitter_ns) = (link.delay_ns, link.jitter_ns);
    match link.spread {
        Spread::Pareto => Latency::Pareto(delay_ns),
        Spread::Uniform | Spread::Normal | Spread::Exponential if jitter_ns == 0 => {
            Latency::Constant(delay_ns)
        }
        // With a matrix a delay may be shorter than the jitter of all.
        Spread::Uniform => {
            Latency::Uniform(delay_ns.saturating_sub(jitter_ns), delay_ns + jitter_ns)
        }
        Spread::Normal => Latency::Normal(delay_ns, jitter_ns),
        Spread::Exponential => Latency::Exponential(delay_ns, jitter_ns),
    }
}
