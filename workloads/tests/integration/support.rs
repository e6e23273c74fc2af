//! A catalog like that of an engine, for tests.

use synod_workloads::{
    Catalog, ClusterFacts, Conflict, OperationSet, ParameterDefault, ParameterKind, ParameterSpec,
    ProtocolSpec, format_duration,
};

const MILLISECOND_NS: u64 = 1_000_000;

/// Protocols without parameters, with every kind of relation, whose leader and voters are changed, with
/// witnesses, with fewer operations, and with more.
pub(crate) fn catalog() -> Catalog {
    let [two_phase_commit, paxos_commit] = ["two_phase_commit", "paxos_commit"].map(transactions);
    let protocols = vec![
        unreplicated(),
        multi_paxos(),
        raft(),
        viewstamped(),
        abd(),
        two_phase_commit,
        paxos_commit,
    ];
    Catalog { protocols }
}

fn unreplicated() -> ProtocolSpec {
    ProtocolSpec {
        name: "unreplicated",
        summary: "No replication: what everything else costs.",
        parameters: Vec::new(),
        operations: OperationSet::OF_ONE_KEY,
        replicas: 1..=9,
        observers: false,
        witnesses: false,
        changes: false,
        validate: |_, _| Ok(()),
    }
}

fn multi_paxos() -> ProtocolSpec {
    ProtocolSpec {
        name: "multi_paxos",
        summary: "Multi-Paxos with a stable leader.",
        parameters: vec![
            duration("heartbeat", 20, "How often an idle leader shows that it is there."),
            duration("election_timeout", 200, "How long silence lasts before another stands up."),
            quorum("phase1_quorum", "Promises that a new leader waits for."),
            quorum("phase2_quorum", "Acceptances that choose a value."),
        ],
        operations: OperationSet::OF_ONE_KEY,
        replicas: 1..=9,
        observers: false,
        witnesses: false,
        changes: false,
        validate: validate_multi_paxos,
    }
}

fn raft() -> ProtocolSpec {
    ProtocolSpec {
        name: "raft",
        summary: "A log that only ever follows its leader's.",
        parameters: Vec::new(),
        operations: OperationSet::OF_ONE_KEY,
        replicas: 1..=9,
        observers: true,
        witnesses: false,
        changes: true,
        validate: |_, _| Ok(()),
    }
}

fn viewstamped() -> ProtocolSpec {
    ProtocolSpec {
        name: "viewstamped",
        summary: "Views, and witnesses that vote in them.",
        witnesses: true,
        observers: false,
        changes: false,
        ..raft()
    }
}

fn transactions(name: &'static str) -> ProtocolSpec {
    ProtocolSpec {
        name,
        summary: "Transactions over keys of several replicas.",
        parameters: Vec::new(),
        operations: OperationSet::ALL,
        replicas: 1..=9,
        observers: false,
        witnesses: false,
        changes: false,
        validate: |_, _| Ok(()),
    }
}

fn abd() -> ProtocolSpec {
    ProtocolSpec {
        name: "abd",
        summary: "Quorum reads and writes of a register for each key.",
        parameters: Vec::new(),
        operations: OperationSet::GET
            | OperationSet::PUT
            | OperationSet::INSERT
            | OperationSet::DELETE
            | OperationSet::READ_MODIFY_WRITE,
        replicas: 1..=9,
        observers: false,
        witnesses: false,
        changes: false,
        validate: |_, _| Ok(()),
    }
}

fn duration(name: &'static str, default_ms: u64, doc: &'static str) -> ParameterSpec {
    ParameterSpec {
        name,
        kind: ParameterKind::Duration,
        default: ParameterDefault::Fixed(default_ms * MILLISECOND_NS),
        minimum: MILLISECOND_NS,
        maximum: 60_000 * MILLISECOND_NS,
        doc,
    }
}

fn quorum(name: &'static str, doc: &'static str) -> ParameterSpec {
    ParameterSpec {
        name,
        kind: ParameterKind::Count,
        default: ParameterDefault::Majority,
        minimum: 1,
        maximum: 9,
        doc,
    }
}

fn validate_multi_paxos(facts: &ClusterFacts, parameters: &[u64]) -> Result<(), Conflict> {
    let &[heartbeat, timeout, first, second] = parameters else {
        panic!("four parameters, as the catalog says");
    };
    if timeout <= 2 * heartbeat {
        return Err(Conflict {
            parameter: "election_timeout",
            rule: format!("must be more than 2 x heartbeat ({})", format_duration(heartbeat)),
            instead: format!("write more than `{}`", format_duration(2 * heartbeat)),
        });
    }
    let replicas = u64::from(facts.replicas);
    for (parameter, quorum) in [("phase1_quorum", first), ("phase2_quorum", second)] {
        if quorum > replicas {
            return Err(Conflict {
                parameter,
                rule: format!("there are {replicas} replicas"),
                instead: format!("write at most `{replicas}`"),
            });
        }
    }
    if first + second <= replicas {
        return Err(Conflict {
            parameter: "phase2_quorum",
            rule: format!(
                "phase1_quorum {first} + phase2_quorum {second} is not more than the {replicas} \
                 replicas, so two quorums may not meet"
            ),
            instead: format!("write at least `{}`", replicas + 1 - first),
        });
    }
    Ok(())
}
