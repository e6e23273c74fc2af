//! The speed of light beside the protocol: what this machine allows with the same placement,
//! connections and wait policy, measured in the same run.

use std::path::Path;

use synod_results::summary::{Limit, ProtocolResult};
use synod_workloads::{Durability, Transport, Workload};

use crate::cluster::Placed;
use crate::io::uring::Wait;
use crate::limits::{self, EchoResult, Options};

/// The shape of the echo that throughput is held against.
const ECHO_BATCH: usize = 64;
const ECHO_WINDOW: usize = 16;

/// The length of each measurement.
const SECONDS: f64 = 0.5;

/// What was measured before the protocols run.
#[derive(Debug)]
pub(super) struct Ceiling {
    options: Options,
    echo: EchoResult,
    ping: EchoResult,
}

/// Measures the consensus-shaped echo where the workload's replicas and clients will be.
///
/// # Errors
/// A sentence: what the machine refused.
pub(super) fn measure(
    workload: &Workload,
    placed: &Placed,
    wait: Wait,
    directory: &Path,
) -> Result<Option<Ceiling>, String> {
    let transport = match workload.cluster.transport {
        Transport::Tcp => limits::Transport::Tcp,
        Transport::Unix => limits::Transport::Unix,
        Transport::Memory => return Ok(None),
    };
    let [leader, one, other] = placed.replicas.iter().take(3).collect::<Vec<_>>()[..] else {
        // The echo has the shape of three replicas.
        return Ok(None);
    };
    let options = Options {
        placement: [leader[0], one[0], other[0], placed.load[0]],
        wait,
        transport,
        seconds: SECONDS,
        connections: usize::from(workload.load.connections),
        ..Options::new(directory.to_owned())
    };
    let echo = limits::echo(&options, ECHO_BATCH, ECHO_WINDOW, options.connections);
    let ping = limits::echo(&options, 1, 1, 1);
    match (echo, ping) {
        (Ok(echo), Ok(ping)) => Ok(Some(Ceiling { options, echo, ping })),
        (Err(error), _) | (_, Err(error)) => Err(format!("the limit cannot be measured: {error}")),
    }
}

impl Ceiling {
    /// The limits of one result.
    ///
    /// # Errors
    /// A sentence: what the machine refused.
    pub(super) fn beside(
        &self,
        workload: &Workload,
        result: &ProtocolResult,
    ) -> Result<Vec<Limit>, String> {
        let groups = f64::from(workload.cluster.cores);
        let mut limits = vec![
            Limit {
                name: format!("echo, batch {ECHO_BATCH}, window {ECHO_WINDOW}"),
                value: self.echo.rate * groups,
                unit: "messages/s".to_owned(),
                percent: 100.0 * result.overall.ops_per_second / (self.echo.rate * groups),
            },
            Limit {
                name: "echo p50, batch 1, window 1".to_owned(),
                value: self.ping.p50_ns as f64 / 1e3,
                unit: "us".to_owned(),
                percent: 100.0 * self.ping.p50_ns as f64 / result.overall.p50_ns.max(1) as f64,
            },
        ];
        if workload.cluster.durability != Durability::None && result.counters.log_syncs > 0 {
            limits.push(self.log(workload, result)?);
        }
        Ok(limits)
    }

    /// Three logs alone, with writes of the size that the protocol's had on average.
    fn log(&self, workload: &Workload, result: &ProtocolResult) -> Result<Limit, String> {
        let bytes = result.counters.log_bytes / result.counters.log_syncs;
        let bytes = usize::try_from(bytes).expect("a write fits memory");
        let in_flight = usize::from(workload.cluster.log.writes_in_flight);
        let log = limits::log::log(&self.options, bytes, in_flight, 3)
            .map_err(|error| format!("the log's limit cannot be measured: {error}"))?;
        let syncs = result.counters.log_syncs as f64 / result.measured_seconds;
        Ok(Limit {
            name: format!("three logs, {}", synod_workloads::format_bytes(log.bytes as u64)),
            value: log.rate,
            unit: "synced writes/s".to_owned(),
            percent: 100.0 * syncs / log.rate,
        })
    }
}
