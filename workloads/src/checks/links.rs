//! What must hold of emulated links and of faults of the log's disk.

use super::Checker;
use crate::diagnostics::found;
use crate::spec::{Durability, Fault, FaultAction, Link, Spread, Target, Transport};
use crate::units::format_duration;

impl Checker<'_> {
    /// The links from the start of the run.
    pub(super) fn links(&mut self) {
        let cluster = &self.workload.cluster;
        let Some(links) = &cluster.links else { return };
        if cluster.transport == Transport::Memory
            && self.settings.sound(&["cluster.transport", "cluster.links"])
        {
            self.fault(
                &["cluster.links"],
                "found links with transport `memory`".into(),
                "replicas that share one process have no links".into(),
                "write `transport: unix`, or remove them".into(),
            );
        }
        self.link("cluster.links.all", &links.all);
        let replicas = usize::from(cluster.replicas);
        let path = "cluster.links.delays";
        let Some(rows) = &links.delays_ns else { return };
        if !self.settings.sound(&[path, "cluster.replicas"]) {
            return;
        }
        let shortest = rows.iter().map(Vec::len).min().unwrap_or(0);
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        if rows.len() != replicas || shortest != replicas || longest != replicas {
            self.fault(
                &[path],
                format!("found {} rows of {shortest} to {longest}", rows.len()),
                format!("the {replicas} of cluster.replicas need as many rows of as many delays"),
                format!("write {replicas} rows of {replicas}"),
            );
        } else if let Some(own) = (0..replicas).find(|&own| rows[own][own] != 0) {
            self.fault(
                &[&format!("{path}.{own}.{own}")],
                found(&format_duration(rows[own][own])),
                "a replica has no link to itself".into(),
                "write `0`".into(),
            );
        }
    }

    fn link(&mut self, path: &str, link: &Link) {
        let jitter = format!("{path}.jitter");
        if !self.settings.sound(&[path]) || link.jitter_ns == 0 {
            return;
        }
        if link.spread == Spread::Uniform && link.jitter_ns > link.delay_ns {
            self.fault(
                &[&jitter],
                found(&format_duration(link.jitter_ns)),
                format!(
                    "around a delay of {} this would be less than nothing",
                    format_duration(link.delay_ns)
                ),
                format!("write at most `{}`", format_duration(link.delay_ns)),
            );
        } else if link.spread == Spread::Pareto {
            self.fault(
                &[&jitter],
                "found it beside `spread: pareto`".into(),
                "how far this spreads follows from the delay".into(),
                "remove it, or write `spread: exponential`".into(),
            );
        }
    }

    pub(super) fn fault_links(&mut self, path: &str, fault: &Fault) {
        let key = |key: &str| format!("{path}.{key}");
        let (action, link) = (key("action"), key("link"));
        if !self.settings.sound(&[&action, &link]) {
            return;
        }
        for (name, fits) in [
            ("peers", fault.action.is_of_links()),
            ("direction", fault.action.is_of_links()),
            ("hold", fault.action == FaultAction::Partition),
            ("link", fault.action == FaultAction::Degrade),
        ] {
            if self.settings.given(&key(name)) && !fits {
                self.fault(
                    &[&key(name)],
                    format!("found it beside `action: {}`", fault.action.name()),
                    "it says nothing of this".into(),
                    "remove it".into(),
                );
            }
        }
        if fault.action == FaultAction::Degrade && !fault.link.is_some_and(|link| link.acts()) {
            self.fault(
                &[&link, path],
                "found links that do nothing".into(),
                "degraded links delay, lose or double frames, or take few bytes".into(),
                "write for example `link: { delay: 20ms, loss: 1% }`".into(),
            );
        }
        if let Some(degraded) = &fault.link {
            self.link(&link, degraded);
        }
        if fault.action.is_of_links() {
            self.fault_ends(path, fault);
        }
    }

    /// The replicas at both ends.
    fn fault_ends(&mut self, path: &str, fault: &Fault) {
        let (peers, action) = (format!("{path}.peers"), format!("{path}.action"));
        let replicas = self.workload.cluster.replicas;
        if !self.settings.sound(&[&peers, &format!("{path}.target"), "cluster.replicas"]) {
            return;
        }
        if replicas == 1 {
            self.fault(
                &[&action],
                found(fault.action.name()),
                "a single replica has no links".into(),
                "remove the fault, or raise cluster.replicas".into(),
            );
        }
        for (index, &peer) in fault.peers.iter().enumerate() {
            let rule = if peer >= replicas {
                format!("the {replicas} replicas are numbered from 0 to {}", replicas - 1)
            } else if fault.target == Target::Replica(peer) {
                "a replica has no link to itself".into()
            } else if fault.peers[..index].contains(&peer) {
                "it stands here twice".into()
            } else {
                continue;
            };
            let instead = "write the numbers of other replicas".into();
            self.fault(&[&format!("{peers}.{index}")], found(&peer.to_string()), rule, instead);
        }
    }

    pub(super) fn fault_disk(&mut self, path: &str, fault: &Fault) {
        let action = format!("{path}.action");
        if fault.action.is_of_disk()
            && self.workload.cluster.durability == Durability::None
            && self.settings.sound(&[&action, "cluster.durability"])
        {
            self.fault(
                &[&action],
                format!("found `{}` with durability `none`", fault.action.name()),
                "there is no log whose disk could fail".into(),
                "write `durability: group`, or remove the fault".into(),
            );
        }
    }
}
