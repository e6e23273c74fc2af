//! What goes wrong in a world: faults strike and come to an end.

use synod_protocols::protocol::{Protocol, Role};
use synod_protocols::types::ReplicaId;

use super::super::plan::Action;
use super::{Event, Fault, Process, Target, World};
use crate::latency::Latency;

impl<P: Protocol> World<P> {
    /// Who leads the first group.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.replicas()).find(|&machine| self.leads(machine))
    }

    /// Whether a replica votes, as far as the leaders of all groups know.
    pub(crate) fn votes(&self, replica: usize) -> bool {
        let id = ReplicaId(u8::try_from(replica).expect("few"));
        (0..self.plan.groups).all(|group| {
            let mut leaders = self.nodes(group).filter(|node| node.role() == Role::Leader);
            leaders.any(|leader| leader.voters().is_some_and(|voters| voters.contains(id)))
        })
    }

    fn leads(&self, machine: usize) -> bool {
        self.machines[machine].node().is_some_and(|node| node.role() == Role::Leader)
    }

    /// The replica that a fault is aimed at.
    fn aim(&mut self, target: Target) -> usize {
        let leader = self.leader().unwrap_or(0);
        let mut any = |count: usize| {
            usize::try_from(self.random.below(count as u64)).expect("replicas are few")
        };
        let replicas = usize::from(self.plan.replicas);
        match target {
            Target::Leader => leader,
            Target::Follower if replicas == 1 => 0,
            Target::Follower => (leader + 1 + any(replicas - 1)) % replicas,
            Target::Any => any(replicas),
            Target::Replica(id) => usize::from(id),
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        if !self.faulty {
            return;
        }
        let replica = self.aim(fault.target);
        let machines: Vec<usize> = self.machines_of(replica).collect();
        let down = |&machine: &usize| self.machines[machine].node().is_none();
        if machines.iter().any(down) || (fault.action.forgets() && !self.may_forget(replica)) {
            return;
        }
        let kind = Action::ALL.iter().position(|&action| action == fault.action);
        self.tally.faults[kind.expect("listed")] += 1;
        let id = ReplicaId(u8::try_from(replica).expect("few"));
        if let Some(change) = fault.action.change(id) {
            return self.change(change);
        }
        for machine in machines {
            self.harm(fault.action, machine);
        }
        for (from, to) in self.ways(fault.action, replica) {
            self.network.block(from, to);
        }
        // A process that stops by itself is started again when it has noticed.
        if fault.action != Action::FailDisk && fault.for_ns != u64::MAX {
            self.schedule(self.now + fault.for_ns, Event::End(fault.action, replica));
        }
    }

    pub(super) fn harm(&mut self, action: Action, number: usize) {
        if action == Action::Crash || action.forgets() {
            self.end(number);
        }
        let operations = self.random.below(20);
        let machine = &mut self.machines[number];
        match action {
            Action::Pause => machine.paused += 1,
            Action::SlowProcessor => machine.slow_processor += 1,
            Action::SlowDisk => machine.slow_disk += 1,
            Action::FailDisk => machine.disk.fail_after(operations),
            Action::FillDisk => machine.disk.fill(),
            Action::Wipe => {
                machine.disk.wipe();
                machine.tainted = true;
            }
            Action::Rot => machine.tainted |= machine.disk.rot(&mut self.random),
            Action::Misdirect => machine.tainted |= machine.disk.misdirect(&mut self.random),
            Action::Crash
            | Action::Isolate
            | Action::Deafen
            | Action::Mute
            | Action::Separate
            | Action::Transfer
            | Action::Add
            | Action::Remove => {}
        }
    }

    /// Whether a replica may lose what it promised: all others must be able to tell it, with whatever
    /// was agreed on one of their disks. One that has got a snapshot and still needs what the sender
    /// knows beyond it is not.
    fn may_forget(&self, replica: usize) -> bool {
        let others = || (0..self.replicas()).filter(|&other| other != replica);
        let intact = |machine: usize| {
            let machine = &self.machines[machine];
            let needs_others = machine.node().is_some_and(|node| node.applied().is_none());
            !machine.tainted && !machine.disk.is_lost() && !needs_others
        };
        P::REPAIRS
            && self.plan.log.is_some()
            && self.plan.quorum_min::<P>() > 1
            && others().all(|other| self.machines_of(other).all(intact))
    }

    /// Whether every replica runs and has what it promised.
    pub(crate) fn is_whole(&self) -> bool {
        self.machines[..self.loads_from()]
            .iter()
            .all(|machine| machine.node().is_some() && !machine.disk.is_lost())
    }

    pub(super) fn relieve(&mut self, action: Action, replica: usize) {
        for number in self.machines_of(replica) {
            let machine = &mut self.machines[number];
            match action {
                Action::Crash | Action::Wipe | Action::Rot | Action::Misdirect => {
                    self.start(number);
                }
                Action::FailDisk | Action::FillDisk => {
                    machine.disk.repair();
                    self.start(number);
                }
                Action::Pause => {
                    machine.paused -= 1;
                    self.turn_by(number, self.now);
                }
                Action::SlowProcessor => machine.slow_processor -= 1,
                Action::SlowDisk => machine.slow_disk -= 1,
                Action::Isolate
                | Action::Deafen
                | Action::Mute
                | Action::Separate
                | Action::Transfer
                | Action::Add
                | Action::Remove => {}
            }
        }
        for (from, to) in self.ways(action, replica) {
            let parcels = self.network.unblock(from, to, self.now);
            self.send_parcels(parcels);
        }
    }

    /// The ways that a fault of the network blocks, each from one machine to another.
    fn ways(&self, action: Action, replica: usize) -> Vec<(usize, usize)> {
        let next = (replica + 1) % self.replicas();
        let mut ways = Vec::new();
        for machine in self.machines_of(replica) {
            let group = machine - replica..machine - replica + self.replicas();
            let others = || group.clone().filter(|&other| other != machine);
            match action {
                Action::Isolate => {
                    let loads = self.loads_from()..self.machines.len();
                    let all = others().chain(loads);
                    ways.extend(all.flat_map(|other| [(other, machine), (machine, other)]));
                }
                Action::Deafen => ways.extend(others().map(|other| (other, machine))),
                Action::Mute => ways.extend(others().map(|other| (machine, other))),
                Action::Separate if next != replica => {
                    let next = machine - replica + next;
                    ways.extend([(machine, next), (next, machine)]);
                }
                Action::Separate
                | Action::Crash
                | Action::Pause
                | Action::SlowProcessor
                | Action::SlowDisk
                | Action::FailDisk
                | Action::FillDisk
                | Action::Wipe
                | Action::Rot
                | Action::Misdirect
                | Action::Transfer
                | Action::Add
                | Action::Remove => {}
            }
        }
        ways
    }

    /// No more faults: all that struck comes to its end at once.
    pub(crate) fn heal(&mut self) {
        self.faulty = false;
        self.network.calm();
        // Time-outs may be shorter than what a disk seldom takes: then nothing is promised.
        self.plan.disk = Latency::Constant(self.plan.disk.usual());
        for machine in &self.machines {
            machine.disk.repair();
        }
        let mut ends = Vec::new();
        for (at, event) in self.events.take_all() {
            match event {
                Event::End(action, replica) => ends.push((action, replica)),
                // A slow disk would take minutes.
                Event::Written(..) => self.events.push(self.now, event),
                Event::Free(_) | Event::Parcel(_) | Event::Fault(_) => {
                    self.events.push(at, event);
                }
            }
        }
        for (action, replica) in ends {
            self.relieve(action, replica);
        }
    }

    /// Replicas stand still.
    pub(crate) fn freeze(&mut self, frozen: &[usize]) {
        for &replica in frozen {
            for machine in self.machines_of(replica) {
                self.machines[machine].paused += 1;
            }
        }
    }

    /// Frozen replicas go on.
    pub(crate) fn thaw(&mut self, frozen: &[usize]) {
        for &replica in frozen {
            for machine in self.machines_of(replica) {
                self.machines[machine].paused -= 1;
                self.turn_by(machine, self.now);
            }
        }
    }

    /// Whether nothing runs on a machine.
    pub(super) fn is_down(&self, machine: usize) -> bool {
        matches!(self.machines[machine].process, Process::Nothing)
    }
}
