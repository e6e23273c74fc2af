//! What a schedule of faults can do to a cluster, real or simulated.

use synod_protocols::protocol::Change;
use synod_workloads::Fault;

use crate::cluster::Cluster;
use crate::cluster::links::LinkFault;
use crate::cluster::orders::Status;
use crate::emulate::Evidence;

/// A cluster that faults can strike. Each verb that returns a sentence returns its evidence.
pub(crate) trait Breakable {
    /// The number of replicas.
    fn len(&self) -> usize;

    /// Whether the replica is there.
    fn is_alive(&self, id: usize) -> bool;

    /// Who leads group 0, as far as is known.
    fn leader(&self) -> Option<usize>;

    /// How each group of a replica was doing when it last said so; nothing of one that is not there.
    fn statuses(&self, id: usize) -> Vec<Status>;

    /// Records that a replica replayed when it started, once it is ready.
    fn replayed(&self, id: usize) -> Option<u64>;

    /// How many times a replica that was started again has become ready.
    fn returned(&self) -> u64;

    /// Ends a replica at once.
    fn kill(&mut self, id: usize) -> String;

    /// Starts an ended replica again; empty if that is not possible.
    fn restart(&mut self, id: usize) -> String;

    /// Ends a replica and throws away what it had on disk.
    fn wipe(&mut self, id: usize) -> String;

    /// Lets a replica stand still.
    fn pause(&mut self, id: usize) -> String;

    /// Lets it go on.
    fn resume(&mut self, id: usize) -> String;

    /// Begins a fault of links.
    fn begin_link_fault(&mut self, fault: &Fault, target: usize) -> Option<LinkFault>;

    /// Ends it.
    fn end_link_fault(&mut self, fault: LinkFault);

    /// Lets no write of a replica's log end for a while.
    fn stall(&mut self, id: usize, for_ns: u64);

    /// Lets the next write of a replica's log fail, which will end the replica.
    fn fail_write(&mut self, id: usize);

    /// Asks all replicas for something, as an administrator does.
    fn change(&mut self, change: Change);

    /// What emulated faults have done at a replica in its present life.
    fn evidence(&self, id: usize) -> Evidence;

    /// The last words of a replica that was to end by itself, once it has.
    fn last_words(&mut self, id: usize) -> Option<String>;
}

impl Breakable for Cluster {
    fn len(&self) -> usize {
        self.len()
    }

    fn is_alive(&self, id: usize) -> bool {
        self.is_alive(id)
    }

    fn leader(&self) -> Option<usize> {
        self.leader()
    }

    fn statuses(&self, id: usize) -> Vec<Status> {
        if self.is_alive(id) { self.statuses_of(id).to_vec() } else { Vec::new() }
    }

    fn replayed(&self, id: usize) -> Option<u64> {
        self.replayed(id)
    }

    fn returned(&self) -> u64 {
        self.returned()
    }

    fn kill(&mut self, id: usize) -> String {
        self.kill(id)
    }

    fn restart(&mut self, id: usize) -> String {
        self.restart(id).unwrap_or_default()
    }

    fn wipe(&mut self, id: usize) -> String {
        self.wipe(id)
    }

    fn pause(&mut self, id: usize) -> String {
        self.pause(id)
    }

    fn resume(&mut self, id: usize) -> String {
        self.resume(id)
    }

    fn begin_link_fault(&mut self, fault: &Fault, target: usize) -> Option<LinkFault> {
        self.begin_link_fault(fault, target)
    }

    fn end_link_fault(&mut self, fault: LinkFault) {
        self.end_link_fault(fault);
    }

    fn stall(&mut self, id: usize, for_ns: u64) {
        self.stall(id, for_ns);
    }

    fn fail_write(&mut self, id: usize) {
        self.fail_write(id);
    }

    fn change(&mut self, change: Change) {
        self.change(change);
    }

    fn evidence(&self, id: usize) -> Evidence {
        self.evidence(id).clone()
    }

    fn last_words(&mut self, id: usize) -> Option<String> {
        self.last_words(id)
    }
}
