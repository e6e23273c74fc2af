//! A workload file as a plan of the simulator: the cluster and the load as it says, on machines of
//! its model, and no faults but those of the file.

use synod_protocols::protocol::PARAMETERS_MAX;
use synod_workloads::{Durability, ProtocolChoice, Workload};

use super::models::Clock;
use super::plan::{DiskQueue, Limits, Network, Plan};
use crate::cluster;
use crate::io::uring::TURN_BYTES;
use crate::latency::Latency;
use crate::load;
use crate::replica::log_limits;

/// The plan for one protocol of a workload.
#[must_use]
pub fn plan_of(
    workload: &Workload,
    protocol: &ProtocolChoice,
    repeat: u32,
    replicas: usize,
) -> Plan {
    let (spec, model) = (&workload.cluster, &workload.model);
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
        observers: spec.observers,
        witnesses: spec.witnesses,
        parameters,
        window: spec.window as usize,
        batch_ops_max: cluster::batch_ops_max(workload, protocol),
        linger_ns: spec.batch.linger_ns,
        objective_ns: spec.batch.objective_ns,
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
            latency: Latency::Constant(model.network_ns),
            calm_ns: model.network_ns,
            datagrams: false,
            loss: 0,
            duplication: 0,
            byte_ps: 0,
        },
        cpu: model.cpu,
        processors: processors(workload, replicas),
        away: (model.away_ns > 0).then_some((model.away_ns, model.between_ns)),
        turn_bytes: Some(TURN_BYTES),
        disk: match model.disk_tail_ns {
            0 => Latency::Constant(model.disk_ns),
            tail_ns => Latency::Exponential(model.disk_ns, tail_ns),
        },
        disk_queue: DiskQueue {
            shared: model.processors > 0,
            gap_ns: model.disk_gap_ns,
            kib_ns: model.disk_kib_ns,
        },
        clocks: vec![Clock { offset_ns: 0, drift_ppm: 0 }; replicas * groups + threads],
        faults: Vec::new(),
        restarts: false,
    }
}

/// The processor of each machine: group by group the replicas, then the load threads, where a run
/// would place them.
fn processors(workload: &Workload, replicas: usize) -> Vec<usize> {
    let groups = usize::from(workload.cluster.cores);
    let machines = replicas * groups + usize::from(workload.load.threads);
    if workload.model.processors == 0 {
        return (0..machines).collect();
    }
    let available: Vec<usize> = (0..usize::from(workload.model.processors)).collect();
    let placed = cluster::place(workload, replicas, &available);
    let by_group = (0..groups).flat_map(|group| placed.replicas.iter().map(move |own| own[group]));
    by_group.chain(placed.load.iter().copied()).collect()
}
