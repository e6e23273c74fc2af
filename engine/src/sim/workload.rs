//! A workload file as a plan of the simulator: the cluster and the load as it says, a machine like
//! the one that the engine was measured on, and no faults but those of the file.

use synod_protocols::protocol::PARAMETERS_MAX;
use synod_workloads::{Durability, ProtocolChoice, Workload};

use super::models::{Clock, Cpu};
use super::plan::{Limits, Network, Plan};
use crate::cluster;
use crate::latency::Latency;
use crate::load;
use crate::replica::log_limits;

/// What turns cost: a packet is by far the most expensive thing, as with real sockets.
const CPU: Cpu = Cpu { turn_ns: 500, arrival_ns: 4_400, kib_ns: 60, command_ns: 150 };

/// The way between two machines on one switch.
const NETWORK_NS: u64 = 15_000;

/// A synced write of a few KiB.
const DISK_NS: u64 = 96_000;

/// The plan for one protocol of a workload.
#[must_use]
pub fn plan_of(
    workload: &Workload,
    protocol: &ProtocolChoice,
    repeat: u32,
    replicas: usize,
) -> Plan {
    let spec = &workload.cluster;
    let groups = usize::from(spec.cores);
    let size = |bytes: u64| usize::try_from(bytes).expect("memory sizes fit");
    let threads = usize::from(workload.load.threads);
    let mut parameters = [0; PARAMETERS_MAX];
    parameters[..protocol.parameters.len()].copy_from_slice(&protocol.parameters);
    let sync_each = spec.durability == Durability::Each;
    Plan {
        seed: workload.seed.wrapping_add(u64::from(repeat)),
        groups,
        replicas: u8::try_from(replicas).expect("few"),
        parameters,
        window: spec.window as usize,
        batch_ops_max: cluster::batch_ops_max(workload, protocol),
        linger_ns: spec.batch.linger_ns,
        retain_bytes: spec.log.retain_bytes,
        snapshot_bytes: spec.log.snapshot_bytes,
        log: (spec.durability != Durability::None).then(|| {
            log_limits(
                size(spec.log.segment_bytes),
                spec.limits.frame_bytes as usize,
                usize::from(spec.log.writes_in_flight),
                sync_each,
            )
        }),
        sync_each,
        limits: Limits {
            frame_bytes_max: spec.limits.frame_bytes,
            batch_bytes_max: size(spec.batch.max_bytes),
            pending_ops_max: spec.limits.pending_ops as usize,
            keys_expected: size(workload.load.keys.count) / groups + 1,
            sessions_max: spec.limits.sessions as usize,
            // Clients are numbered from 1, over all groups.
            clients_max: threads
                * usize::from(workload.load.connections)
                * load::lanes(cluster::chosen(workload, protocol).reads)
                * groups
                + 1,
        },
        load: workload.load.clone(),
        phases: workload.phases,
        faults_ns: 0,
        slowness: 1,
        network: Network {
            latency: Latency::Constant(NETWORK_NS),
            calm_ns: NETWORK_NS,
            datagrams: false,
            loss: 0,
            duplication: 0,
            byte_ps: 0,
        },
        cpu: CPU,
        disk: Latency::Constant(DISK_NS),
        clocks: vec![Clock { offset_ns: 0, drift_ppm: 0 }; replicas * groups + threads],
        faults: Vec::new(),
        restarts: false,
    }
}
