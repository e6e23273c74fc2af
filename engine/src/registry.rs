//! Which protocols there are: the only place that knows them by name.

use synod_protocols::abd::Abd;
use synod_protocols::multi_paxos::MultiPaxos;
use synod_protocols::paxos::Paxos;
use synod_protocols::paxos_commit::PaxosCommit;
use synod_protocols::protocol::{self, Protocol, Reads, Service};
use synod_protocols::quorum::Quorum;
use synod_protocols::raft::Raft;
use synod_protocols::two_phase_commit::TwoPhaseCommit;
use synod_protocols::types::REPLICAS_MAX;
use synod_protocols::unreplicated::Unreplicated;
use synod_protocols::viewstamped::Viewstamped;
use synod_protocols::zab::Zab;
use synod_results::check::Consistency;
use synod_workloads::{
    Catalog, ClusterFacts, Conflict, OperationSet, ParameterDefault, ParameterKind, ParameterSpec,
    ProtocolSpec,
};

/// Something to do with a protocol that is known by name only at run time.
pub trait Visit {
    /// What comes out of it.
    type Output;

    /// Does it with the protocol `P`.
    fn visit<P: Protocol + 'static>(self) -> Self::Output;
}

/// The names of all protocols, in the order in which people should meet them.
pub const NAMES: [&str; 10] = [
    Unreplicated::NAME,
    Paxos::NAME,
    MultiPaxos::NAME,
    Raft::NAME,
    Viewstamped::NAME,
    Zab::NAME,
    Abd::NAME,
    Quorum::NAME,
    TwoPhaseCommit::NAME,
    PaxosCommit::NAME,
];

/// Does `what` with the protocol called `name`; `None` when there is none.
pub fn with_protocol<V: Visit>(name: &str, what: V) -> Option<V::Output> {
    match name {
        Unreplicated::NAME => Some(what.visit::<Unreplicated>()),
        MultiPaxos::NAME => Some(what.visit::<MultiPaxos>()),
        Paxos::NAME => Some(what.visit::<Paxos>()),
        Raft::NAME => Some(what.visit::<Raft>()),
        Viewstamped::NAME => Some(what.visit::<Viewstamped>()),
        Zab::NAME => Some(what.visit::<Zab>()),
        Abd::NAME => Some(what.visit::<Abd>()),
        Quorum::NAME => Some(what.visit::<Quorum>()),
        TwoPhaseCommit::NAME => Some(what.visit::<TwoPhaseCommit>()),
        PaxosCommit::NAME => Some(what.visit::<PaxosCommit>()),
        _ => None,
    }
}

/// What workload files may say about protocols.
#[must_use]
pub fn catalog() -> Catalog {
    let protocols = NAMES
        .iter()
        .map(|name| with_protocol(name, Describe).expect("every listed name is known"))
        .collect();
    Catalog { protocols }
}

/// What is known about a protocol whatever its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The paper that it follows.
    pub paper: &'static str,
    /// What may fail, and what it needs to go on.
    pub fault_model: &'static str,
    /// What clients may ask of it, and whether a request may be repeated.
    pub service: Service,
    /// Replicas that it can use.
    pub replicas_max: usize,
    /// Whether a replica that has lost its disk can come back.
    pub repairs: bool,
}

/// The traits of the protocol called `name`; `None` when there is none.
#[must_use]
pub fn traits(name: &str) -> Option<Traits> {
    with_protocol(name, ReadTraits)
}

struct ReadTraits;

impl Visit for ReadTraits {
    type Output = Traits;

    fn visit<P: Protocol>(self) -> Traits {
        Traits {
            paper: P::PAPER,
            fault_model: P::FAULT_MODEL,
            service: P::SERVICE,
            replicas_max: P::REPLICAS_MAX,
            repairs: P::REPAIRS,
        }
    }
}

/// What the controller must know about a protocol with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// What it promises.
    pub promise: Consistency,
    /// How its gets come.
    pub reads: Reads,
}

/// The protocol called `name` with these parameters; `None` when there is none.
#[must_use]
pub fn chosen(name: &str, replicas: usize, parameters: &[u64]) -> Option<Chosen> {
    with_protocol(name, ReadChosen(replicas, parameters))
}

struct ReadChosen<'a>(usize, &'a [u64]);

impl Visit for ReadChosen<'_> {
    type Output = Chosen;

    fn visit<P: Protocol>(self) -> Chosen {
        let Self(replicas, parameters) = self;
        Chosen { promise: promise_of::<P>(replicas, parameters), reads: P::reads(parameters) }
    }
}

/// The promise of a protocol in the checker's words.
#[must_use]
pub fn promise_of<P: Protocol>(replicas: usize, parameters: &[u64]) -> Consistency {
    match P::consistency(replicas, parameters) {
        protocol::Consistency::StrictlySerializable => Consistency::StrictlySerializable,
        protocol::Consistency::Linearizable => Consistency::Linearizable,
        protocol::Consistency::Sequential => Consistency::Sequential,
        protocol::Consistency::Regular => Consistency::Regular,
        protocol::Consistency::Eventual => Consistency::Eventual,
    }
}

struct Describe;

impl Visit for Describe {
    type Output = ProtocolSpec;

    fn visit<P: Protocol>(self) -> ProtocolSpec {
        ProtocolSpec {
            name: P::NAME,
            summary: P::SUMMARY,
            parameters: P::PARAMETERS.iter().map(describe_parameter).collect(),
            operations: match P::SERVICE {
                Service::StateMachine => OperationSet::OF_ONE_KEY,
                Service::Transactions => OperationSet::ALL,
                Service::Registers => OperationSet::GET
                    .with(OperationSet::PUT)
                    .with(OperationSet::INSERT)
                    .with(OperationSet::DELETE)
                    .with(OperationSet::READ_MODIFY_WRITE),
            },
            replicas: 1..=u8::try_from(REPLICAS_MAX).expect("few"),
            observers: P::OBSERVERS,
            witnesses: P::WITNESSES,
            changes: P::CHANGES,
            validate: validate::<P>,
        }
    }
}

fn describe_parameter(parameter: &protocol::Parameter) -> ParameterSpec {
    ParameterSpec {
        name: parameter.name,
        kind: match parameter.unit {
            protocol::Unit::Duration => ParameterKind::Duration,
            protocol::Unit::Count => ParameterKind::Count,
            protocol::Unit::Flag => ParameterKind::Flag,
            protocol::Unit::Choice(options) => ParameterKind::Choice(options),
        },
        default: match parameter.default {
            protocol::Default::Fixed(value) => ParameterDefault::Fixed(value),
            protocol::Default::Majority => ParameterDefault::Majority,
        },
        minimum: parameter.minimum,
        maximum: parameter.maximum,
        doc: parameter.doc,
    }
}

fn validate<P: Protocol>(cluster: &ClusterFacts, parameters: &[u64]) -> Result<(), Conflict> {
    P::validate(usize::from(cluster.replicas), parameters).map_err(|conflict| Conflict {
        parameter: conflict.parameter,
        rule: conflict.rule.to_owned(),
        instead: conflict.instead.to_owned(),
    })
}
