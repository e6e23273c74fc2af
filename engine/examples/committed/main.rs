//! What a committed operation costs the replicas of a group, without the kernel: puts of 16 bytes
//! in batches of 64, all replicas in one thread, joined by buffers in memory.
//!
//! Everything is decided by the arguments, the clock included, so an instruction counter gives the
//! same figure again. `scripts/instructions` counts what happens in [`turn_all`]: the work of all
//! replicas together, from the requests' bytes to the replies' bytes, and nothing of the client's.
//!
//! ```text
//! committed PROTOCOL [COMMANDS]
//! ```

mod client;
mod network;

use std::process::ExitCode;

use client::Client;
use network::{MemoryIo, Network, address_of};
use synod::greeting::Key;
use synod::node::{Node, Settings};
use synod::registry::{self, Visit};
use synod_protocols::protocol::{Config, Default as DefaultValue, PARAMETERS_MAX, Protocol, Role};
use synod_protocols::types::ReplicaId;

const REPLICAS: usize = 3;
const COMMANDS: u64 = 200_000;
const BATCH: u32 = 64;

/// Batches under way.
const BATCHES: u32 = 4;

/// How far the clock moves with each round of turns.
const ROUND_NS: u64 = 10_000;

/// Rounds without an answer after which something is wrong.
const ROUNDS_MAX: u64 = 1_000_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let commands = |text: String| text.parse::<u64>().ok();
    let (Some(protocol), Some(commands)) =
        (arguments.next(), arguments.next().map_or(Some(COMMANDS), commands))
    else {
        eprintln!("usage: committed PROTOCOL [COMMANDS]");
        return ExitCode::from(2);
    };
    if let Some(committed) = registry::with_protocol(&protocol, Commit { commands }) {
        println!("{protocol} committed {committed}");
        ExitCode::SUCCESS
    } else {
        eprintln!("there is no protocol called {protocol}");
        ExitCode::from(2)
    }
}

/// Lets a group commit so many commands.
struct Commit {
    commands: u64,
}

impl Visit for Commit {
    type Output = u64;

    fn visit<P: Protocol + 'static>(self) -> u64 {
        let replicas = REPLICAS.min(P::REPLICAS_MAX);
        let network = Network::new(replicas + 1);
        let mut nodes: Vec<Node<P, MemoryIo>> = (0..replicas)
            .map(|id| Node::new(settings::<P>(id, replicas), network.io(id)))
            .collect();
        // The replicas find each other, and the first becomes the leader if there is one.
        let mut client = Client::new(network.io(replicas), BATCH, BATCHES);
        let mut rounds = 0;
        while client.answered() < self.commands {
            turn_all(&mut nodes);
            network.pass(ROUND_NS);
            if !matches!(nodes[0].role(), Role::Leader | Role::Peer) {
                continue;
            }
            client.turn(self.commands);
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "only {} answers came", client.answered());
        }
        client.answered()
    }
}

/// One turn of each replica. Not inlined, so that instructions can be counted here alone.
#[inline(never)]
fn turn_all<P: Protocol>(nodes: &mut [Node<P, MemoryIo>]) {
    for node in nodes {
        node.turn().expect("there is no disk that could fail");
    }
}

fn settings<P: Protocol>(id: usize, replicas: usize) -> Settings {
    let mut parameters = [0; PARAMETERS_MAX];
    for (place, parameter) in parameters.iter_mut().zip(P::PARAMETERS) {
        *place = match parameter.default {
            DefaultValue::Fixed(value) => value,
            DefaultValue::Majority => replicas as u64 / 2 + 1,
        };
    }
    Settings {
        protocol: Config {
            id: ReplicaId(u8::try_from(id).expect("few replicas")),
            replicas,
            window: 64,
            retain_bytes: 1 << 20,
            log_records: usize::MAX,
            observers: 0,
            witnesses: 0,
            lost: false,
            parameters,
        },
        cluster: network::CLUSTER,
        key: network::key(),
        nonces: Key::of_seed(2 + id as u64),
        group: 0,
        peers: (0..replicas).map(address_of).collect(),
        seed: 1,
        batch_ops_max: BATCH as usize,
        batch_bytes_max: 64 << 10,
        linger_ns: 0,
        objective_ns: 0,
        frame_bytes_max: 256 << 10,
        pending_ops_max: 4096,
        keys_expected: client::KEYS,
        clients_max: 8,
        sessions_max: 4096,
        snapshot_bytes: 1 << 30,
        sync_each: false,
        founding: true,
    }
}
