//! What the links between replicas do at the moment: what the workload says of the whole run, and
//! the faults that last, the youngest over the older ones.

use synod_workloads::{Cluster as Spec, Direction, Fault, Link, Spread, Workload};

use crate::emulate::{Cut, Rule};
use crate::latency::Latency;

/// The emulated links of a cluster.
#[derive(Debug)]
pub(crate) struct Links {
    /// From each replica to each other, without faults.
    base: Vec<Vec<Rule>>,
    /// Those that last, the oldest first.
    faults: Vec<Begun>,
    numbered: u64,
}

/// A fault that lasts, and the replica that it struck.
#[derive(Debug)]
struct Begun {
    name: LinkFault,
    fault: Fault,
    target: usize,
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
        self.numbered += 1;
        let name = LinkFault(self.numbered);
        self.faults.push(Begun { name, fault: fault.clone(), target });
        name
    }

    /// A fault is over.
    pub(crate) fn end(&mut self, ended: LinkFault) {
        self.faults.retain(|begun| begun.name != ended);
    }

    /// What holds for what a replica sends to each.
    pub(crate) fn rules(&self, from: usize) -> Vec<Rule> {
        let replicas = self.base.len();
        let mut rules = self.base[from].clone();
        for Begun { fault, target, .. } in &self.faults {
            for (source, to) in pairs(fault, *target, replicas) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use synod_workloads::{FaultAction, Repeat, Target, Trigger};

    fn fault(direction: Direction, peers: &[u8], link: Option<Link>) -> Fault {
        Fault {
            trigger: Trigger::At(0),
            delay_ns: 0,
            action: if link.is_some() { FaultAction::Degrade } else { FaultAction::Partition },
            target: Target::Leader,
            for_ns: None,
            restart_after_ns: None,
            peers: peers.to_vec(),
            direction,
            hold: false,
            link,
            repeat: Repeat { every_ns: 0, times: 1 },
        }
    }

    const LINK: Link = Link {
        delay_ns: 0,
        jitter_ns: 0,
        spread: Spread::Uniform,
        loss_ppm: 0,
        duplication_ppm: 0,
        bandwidth_bytes: None,
        reorder: false,
    };

    #[test]
    fn a_fault_works_between_its_ends_and_in_its_direction() {
        let of = |direction, peers: &[u8]| pairs(&fault(direction, peers, None), 1, 3);
        assert_eq!(of(Direction::Both, &[]), [(1, 0), (0, 1), (1, 2), (2, 1)]);
        assert_eq!(of(Direction::Out, &[]), [(1, 0), (1, 2)]);
        assert_eq!(of(Direction::In, &[2]), [(2, 1)]);
        assert_eq!(of(Direction::Both, &[1]), []);
    }

    #[test]
    fn the_youngest_fault_wins_key_by_key_and_leaves_no_trace() {
        let far = Rule { latency: Latency::Constant(7), ..Rule::CLEAR };
        let base = vec![vec![Rule::CLEAR, far], vec![far, Rule::CLEAR]];
        let mut links = Links { base, faults: Vec::new(), numbered: 0 };
        let slow = Link { delay_ns: 5, loss_ppm: 9, ..LINK };
        let slow = links.begin(&fault(Direction::Out, &[], Some(slow)), 0);
        let lossy = Link { loss_ppm: 3, reorder: true, ..LINK };
        let lossy = links.begin(&fault(Direction::Out, &[], Some(lossy)), 0);
        let latency = Latency::Constant(5);
        let both = Rule { latency, loss_ppm: 3, reorder: true, ..Rule::CLEAR };
        assert_eq!(links.rules(0), [Rule::CLEAR, both]);
        assert_eq!(links.rules(1), [far, Rule::CLEAR], "the other way is as it was");
        let cut = links.begin(&fault(Direction::Both, &[], None), 1);
        assert_eq!(links.rules(0)[1], Rule { cut: Cut::Loses, ..both });
        links.end(cut);
        links.end(slow);
        assert_eq!(links.rules(0)[1], Rule { loss_ppm: 3, reorder: true, ..far });
        links.end(lossy);
        assert_eq!(links.rules(0), [Rule::CLEAR, far]);
    }
}
