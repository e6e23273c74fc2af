//! A local cluster: one process for each replica, started, watched and ended by the controller.
//! With the transport `memory` all replicas are threads of the controller's own process instead.
//!
//! The controller and a replica speak over the replica's standard input and output ([`orders`]);
//! what a replica writes to its standard error is kept as its last words. A replica ends when its
//! input ends, so none outlives the controller.

mod body;
pub(crate) mod links;
pub mod member;
pub mod orders;
mod placement;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use synod_workloads::{Cluster as Spec, Durability, Fault, ProtocolChoice, Transport, Workload};

use self::links::{LinkFault, Links};
use self::member::{Heard, Home, Member};
use self::orders::{Enlist, Order, Status, WireAddress};
pub use self::placement::{Placed, place, processors, wait_name};
use crate::emulate::Evidence;
use crate::greeting::Key;
use crate::io::Address;
use crate::io::memory::Hub;
use crate::io::uring::clock;
use crate::load;
use crate::registry;
use synod_protocols::protocol::{Change, Service};

/// How long replicas may take to listen.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long replicas may take to make their memory and to read their logs.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long replicas may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The running replicas of one run.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    home: Home,
    heard: Receiver<Heard>,
    speaker: Sender<Heard>,
    /// For each group, each replica.
    addresses: Vec<Vec<WireAddress>>,
    /// Replicas that were ended on purpose.
    killed: Vec<bool>,
    /// Replicas that are starting again.
    returning: Vec<bool>,
    /// How many have come back, all in all.
    returned: u64,
    /// What emulated links do, in a run that has them.
    links: Option<Links>,
}

/// Where things of a run are.
#[derive(Clone, Debug)]
pub struct Places {
    /// Logs and snapshots; each replica has a folder inside.
    pub data: PathBuf,
    /// Unix sockets.
    pub sockets: PathBuf,
    /// The program to start.
    pub program: PathBuf,
}

impl Cluster {
    /// Starts all replicas and waits until they are ready to serve.
    ///
    /// # Errors
    /// A sentence with a replica's last words.
    pub fn start(
        workload: &Workload,
        protocol: &ProtocolChoice,
        placed: &Placed,
        (identity, key): (u64, Key),
        places: &Places,
    ) -> Result<Self, String> {
        let (speaker, heard) = channel::unbounded();
        let home = match workload.cluster.transport {
            Transport::Tcp | Transport::Unix => Home::Program(places.program.clone()),
            Transport::Memory => Home::Here(Arc::default()),
        };
        let replicas = placed.replicas.len();
        let mut cluster = Self {
            members: (0..replicas)
                .map(|id| {
                    let orders = enlist(workload, protocol, placed, id, (identity, key), places);
                    Member::new(id, orders, home.clone())
                })
                .collect(),
            home,
            heard,
            speaker,
            addresses: Vec::new(),
            killed: vec![false; replicas],
            returning: vec![false; replicas],
            returned: 0,
            links: Links::of(workload, replicas),
        };
        cluster.launch_all()?;
        Ok(cluster)
    }

    fn launch_all(&mut self) -> Result<(), String> {
        for member in &mut self.members {
            member.launch(&self.speaker)?;
        }
        let listening = self.wait_for_all(LISTEN_TIMEOUT, "listen", Member::listening)?;
        let groups = listening[0].len();
        self.addresses = (0..groups)
            .map(|group| listening.iter().map(|addresses| addresses[group].clone()).collect())
            .collect();
        for member in &mut self.members {
            member.keep_addresses();
            member.tell(&Order::Meet(self.addresses.clone()));
        }
        self.wait_for_all(READY_TIMEOUT, "be ready", Member::ready)?;
        for member in &mut self.members {
            member.tell(&Order::Start);
        }
        Ok(())
    }

    fn wait_for_all<T>(
        &mut self,
        timeout: Duration,
        what: &str,
        state: impl Fn(&Member) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let deadline = clock() + u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        loop {
            self.listen(Duration::from_millis(20));
            if let Some(death) = self.unexpected_death() {
                return Err(death);
            }
            let states: Option<Vec<T>> = self.members.iter().map(&state).collect();
            if let Some(states) = states {
                return Ok(states);
            }
            if clock() > deadline {
                return Err(format!("the replicas took more than {timeout:?} to {what}"));
            }
        }
    }

    /// Where clients connect: for each group, each replica.
    #[must_use]
    pub fn addresses(&self) -> Vec<Vec<Address>> {
        self.addresses
            .iter()
            .map(|group| group.iter().cloned().map(Address::from).collect())
            .collect()
    }

    /// What connects everybody when the replicas are threads of this process.
    #[must_use]
    pub fn hub(&self) -> Option<&Arc<Hub>> {
        match &self.home {
            Home::Program(_) => None,
            Home::Here(hub) => Some(hub),
        }
    }

    /// Takes in what the replicas say, for at most so long.
    pub fn listen(&mut self, at_most: Duration) {
        let Ok(first) = self.heard.recv_timeout(at_most) else { return };
        self.take(first);
        while let Ok(next) = self.heard.try_recv() {
            self.take(next);
        }
    }

    fn take(&mut self, heard: Heard) {
        let id = heard.member;
        self.members[id].take(heard);
        if self.returning[id] && self.members[id].listening().is_some() && !self.members[id].met() {
            let addresses = self.addresses.clone();
            self.members[id].tell(&Order::Meet(addresses));
        }
        if self.returning[id] && self.members[id].ready().is_some() {
            self.members[id].tell(&Order::Start);
            self.returning[id] = false;
            self.returned += 1;
            self.tell_links(id);
        }
    }

    /// Tells a replica what holds for what it sends.
    fn tell_links(&mut self, id: usize) {
        if let Some(links) = &self.links {
            self.members[id].tell(&Order::Links(links.rules(id)));
        }
    }

    /// Begins a fault of links.
    pub(crate) fn begin_link_fault(&mut self, fault: &Fault, target: usize) -> Option<LinkFault> {
        let begun = self.links.as_mut()?.begin(fault, target);
        (0..self.len()).for_each(|id| self.tell_links(id));
        Some(begun)
    }

    /// Ends a fault of links.
    pub(crate) fn end_link_fault(&mut self, fault: LinkFault) {
        if let Some(links) = &mut self.links {
            links.end(fault);
        }
        (0..self.len()).for_each(|id| self.tell_links(id));
    }

    /// Lets no write of a replica's log end for a while.
    pub fn stall(&mut self, id: usize, for_ns: u64) {
        self.members[id].tell(&Order::Stall(for_ns));
    }

    /// Lets the next write of a replica's log fail, which will end the replica.
    pub fn fail_write(&mut self, id: usize) {
        self.killed[id] = true;
        self.members[id].tell(&Order::FailWrite);
    }

    /// Asks all replicas for something, as an administrator does: whoever leads will do it.
    pub fn change(&mut self, change: Change) {
        for member in &mut self.members {
            member.tell(&Order::Change(change.into()));
        }
    }

    /// How each group of a replica was doing when it last said so.
    #[must_use]
    pub fn statuses_of(&self, id: usize) -> &[Status] {
        self.members[id].statuses()
    }

    /// What emulated faults have done at a replica in its present life.
    #[must_use]
    pub fn evidence(&self, id: usize) -> &Evidence {
        self.members[id].evidence()
    }

    /// The last words of a replica that was to end by itself, once it has said them.
    pub fn last_words(&mut self, id: usize) -> Option<String> {
        let member = &mut self.members[id];
        let death = member.death().filter(|_| member.has_spoken())?;
        // It is over; this gives back what the system keeps of it.
        member.kill();
        let words: Vec<&str> = death.split_whitespace().collect();
        Some(words.join(" "))
    }

    /// How each replica was doing when it last said so.
    pub fn statuses(&self) -> impl Iterator<Item = (usize, &[Status])> {
        self.members.iter().map(|member| (member.id(), member.statuses()))
    }

    /// All that each replica has said about how it was doing.
    pub fn take_logs(&mut self) -> Vec<Vec<Vec<Status>>> {
        self.members.iter_mut().map(Member::take_log).collect()
    }

    /// The replicas that are there, each with its process.
    pub fn processes(&self) -> impl Iterator<Item = (usize, u32)> {
        self.members.iter().filter_map(|member| Some((member.id(), member.process()?)))
    }

    /// The number of replicas.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: a cluster has a replica.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Who leads group 0, as far as is known.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.members
            .iter()
            .filter(|member| member.is_alive())
            .filter(|member| member.statuses().first().is_some_and(|status| status.leads))
            .max_by_key(|member| member.statuses().first().map(|status| status.at_ns))
            .map(Member::id)
    }

    /// Whether the replica is there.
    #[must_use]
    pub fn is_alive(&self, id: usize) -> bool {
        self.members[id].is_alive()
    }

    /// Ends a replica at once, as a power cut of its process would. Returns the evidence.
    pub fn kill(&mut self, id: usize) -> String {
        self.killed[id] = true;
        self.members[id].kill()
    }

    /// Ends a replica and removes its log and snapshot: it comes back with an empty disk. Returns the
    /// evidence.
    pub fn wipe(&mut self, id: usize) -> String {
        let ended = self.kill(id);
        match std::fs::remove_dir_all(self.members[id].data()) {
            Ok(()) => format!("{ended}, its disk was emptied"),
            // Without the damage the fault has not happened.
            Err(_) => String::new(),
        }
    }

    /// Starts a killed replica again; it reads its log and joins the others by itself.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn restart(&mut self, id: usize) -> Result<String, String> {
        self.killed[id] = false;
        self.returning[id] = true;
        self.members[id].launch(&self.speaker)?;
        Ok(self.members[id].name())
    }

    /// Stops a replica's process without ending it. Returns the evidence.
    pub fn pause(&mut self, id: usize) -> String {
        self.members[id].signal(libc::SIGSTOP)
    }

    /// Lets a stopped process go on. Returns the evidence.
    pub fn resume(&mut self, id: usize) -> String {
        self.members[id].signal(libc::SIGCONT)
    }

    /// How many times a replica that was started again has become ready.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Records that a replica replayed when it started, once it is ready.
    #[must_use]
    pub fn replayed(&self, id: usize) -> Option<u64> {
        self.members[id].ready().map(|records| records.iter().sum())
    }

    /// A sentence about a replica that died although nobody killed it.
    pub fn unexpected_death(&mut self) -> Option<String> {
        let killed = &self.killed;
        self.members.iter_mut().filter(|member| !killed[member.id()]).find_map(Member::death)
    }

    /// Ends all replicas in good order; those that do not are killed.
    pub fn stop(&mut self) {
        for member in &mut self.members {
            member.tell(&Order::Stop);
            member.close_input();
        }
        let deadline = clock() + u64::try_from(STOP_TIMEOUT.as_nanos()).unwrap_or(u64::MAX);
        while self.members.iter_mut().any(|member| !member.has_ended()) && clock() < deadline {
            self.listen(Duration::from_millis(5));
        }
        for member in &mut self.members {
            member.kill();
        }
        while let Ok(last) = self.heard.try_recv() {
            self.take(last);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill();
        }
    }
}

fn enlist(
    workload: &Workload,
    protocol: &ProtocolChoice,
    placed: &Placed,
    id: usize,
    (cluster, key): (u64, Key),
    places: &Places,
) -> Enlist {
    let spec: &Spec = &workload.cluster;
    let groups = usize::from(spec.cores);
    let threads = placed.replicas.len() * groups + placed.load.len();
    let processors = processors().len();
    let size = |bytes: u64| usize::try_from(bytes).expect("memory sizes fit");
    let listen = |group: usize| match spec.transport {
        Transport::Unix => {
            WireAddress::Unix(places.sockets.join(format!("replica-{id}-group-{group}")))
        }
        Transport::Tcp => WireAddress::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
        Transport::Memory => {
            WireAddress::Memory(u32::try_from(id * groups + group).expect("few groups"))
        }
    };
    Enlist {
        protocol: protocol.name.clone(),
        parameters: protocol.parameters.clone(),
        id: u8::try_from(id).expect("few replicas"),
        replicas: u8::try_from(placed.replicas.len()).expect("few replicas"),
        observers: workload.cluster.observers,
        witnesses: workload.cluster.witnesses,
        founding: true,
        cluster,
        key,
        seed: workload.seed,
        listen: (0..groups).map(listen).collect(),
        processors: placed.replicas[id].clone(),
        wait: wait_name(spec, threads, processors).to_owned(),
        durability: match spec.durability {
            Durability::None => "none",
            Durability::Group => "group",
            Durability::Each => "each",
        }
        .to_owned(),
        data: places.data.join(format!("replica-{id}")),
        window: spec.window as usize,
        batch_ops_max: batch_ops_max(workload, protocol),
        batch_bytes_max: size(spec.batch.max_bytes),
        linger_ns: spec.batch.linger_ns,
        objective_ns: spec.batch.objective_ns,
        frame_bytes_max: spec.limits.frame_bytes,
        pending_ops_max: spec.limits.pending_ops as usize,
        keys_expected: size(workload.load.keys.count) / groups + 1,
        sessions_max: spec.limits.sessions as usize,
        // Clients are numbered from 1, over all groups.
        clients_max: usize::from(workload.load.threads)
            * usize::from(workload.load.connections)
            * load::lanes(chosen(workload, protocol).reads)
            * groups
            + 1,
        segment_bytes: spec.log.segment_bytes,
        writes_in_flight: usize::from(spec.log.writes_in_flight),
        retain_bytes: spec.log.retain_bytes,
        snapshot_bytes: spec.log.snapshot_bytes,
        links: Links::of(workload, placed.replicas.len()).map(|links| links.rules(id)),
    }
}

/// Requests in one batch at most. A register protocol answers a batch with the values of all its
/// keys, which must fit a frame.
pub(crate) fn batch_ops_max(workload: &Workload, protocol: &ProtocolChoice) -> usize {
    let spec = &workload.cluster;
    let wanted = spec.batch.max_ops as usize;
    let traits = registry::traits(&protocol.name).expect("the workload names known protocols");
    if traits.service == Service::StateMachine {
        return wanted;
    }
    let item_bytes = workload.load.values.max_bytes() as usize + ITEM_OVERHEAD_BYTES;
    wanted.min(spec.limits.frame_bytes as usize / item_bytes).max(1)
}

/// What a register's value has around it in a message, rounded up.
const ITEM_OVERHEAD_BYTES: usize = 64;

/// How many replicas the protocol uses of those that the workload has.
#[must_use]
pub fn replicas_of(workload: &Workload, protocol: &ProtocolChoice) -> usize {
    let traits = registry::traits(&protocol.name).expect("the workload names known protocols");
    usize::from(workload.cluster.replicas).min(traits.replicas_max)
}

/// What follows from the protocol's parameters.
#[must_use]
pub fn chosen(workload: &Workload, protocol: &ProtocolChoice) -> registry::Chosen {
    let replicas = replicas_of(workload, protocol);
    registry::chosen(&protocol.name, replicas, &protocol.parameters)
        .expect("the workload names known protocols")
}

/// Makes a folder that only this user can read.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
