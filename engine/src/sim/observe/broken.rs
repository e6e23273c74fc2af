//! Rules that tests break between a node and its protocol.

use synod_protocols::protocol::{Config, Context, Input, Protocol, Reads, Role};
use synod_protocols::types::{Payload, ReplicaId, Replicas};
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};

use super::super::mutation::Mutation;
use super::{Observed, Watch};

/// What a broken replica has beside its protocol.
#[derive(Debug)]
pub(super) struct Broken<P: Protocol> {
    replicas: usize,
    /// Whether gets come to any replica.
    any_serves: bool,
    /// One that has promised nothing, to answer for one that has lost what it promised.
    impostor: Option<P>,
    /// A record that is replayed when the next one comes.
    waiting: Option<(P::Record, Payload)>,
}

impl<P: Protocol> Broken<P> {
    pub(super) fn new(config: &Config) -> Self {
        let answers = matches!(Mutation::get(), Some(Mutation::AnswersWhileLost(_)));
        let impostor = (config.lost && answers).then(|| P::new(&whole(config)));
        let any_serves = matches!(P::reads(&config.parameters), Reads::OfAny | Reads::Behind);
        Self { replicas: config.replicas, any_serves, impostor, waiting: None }
    }
}

fn whole(config: &Config) -> Config {
    Config { lost: false, ..*config }
}

/// What a protocol is told of its replica.
pub(super) fn configured(config: &Config) -> Config {
    if Mutation::ForgetsLoss.is_on() { whole(config) } else { *config }
}

/// The bit of an input in a set of kinds.
fn bit_of<M: Wire>(input: &Input<M>) -> u32 {
    match input {
        Input::Message { message, .. } => {
            let mut bytes = [0; WIRE_BYTES_MAX];
            message.encode(&mut bytes);
            1 << bytes[0]
        }
        Input::Installed { .. } => 1,
        Input::Started
        | Input::Requests(_)
        | Input::Reads(_)
        | Input::Timeout
        | Input::Change(_) => 0,
    }
}

impl<P: Protocol> Observed<P> {
    /// Whether gets were answered, so that the protocol does not see them.
    pub(super) fn serve_broken<C: Context<Self>>(
        &self,
        input: &Input<P::Message>,
        cx: &mut C,
    ) -> bool {
        let Input::Reads(gets) = input else { return false };
        let serves = Mutation::ServesAtOnce.is_on()
            && (self.protocol.role() == Role::Leader || self.broken.any_serves);
        if serves {
            cx.serve(*gets);
        }
        serves
    }

    /// The record to replay now, if there is one.
    pub(super) fn replay_broken<C: Context<Self>>(
        &mut self,
        record: P::Record,
        payload: Payload,
        cx: &mut C,
    ) -> Option<(P::Record, Payload)> {
        if !Mutation::SkipsLastRecord.is_on() {
            return Some((record, payload));
        }
        cx.retain(payload);
        let (record, payload) = self.broken.waiting.replace((record, payload))?;
        let watch = &mut Watch::new(self.id, self.group, cx);
        self.protocol.replay(record, payload, watch);
        cx.release(payload);
        None
    }

    /// What happens besides the step that an input asks for.
    pub(super) fn step_broken<C: Context<Self>>(&mut self, input: &Input<P::Message>, cx: &mut C) {
        if let Some((_, payload)) = self.broken.waiting.take() {
            cx.release(payload);
        }
        if self.protocol.is_whole() {
            return;
        }
        let watch = &mut Watch::new(self.id, self.group, cx);
        match Mutation::get() {
            Some(Mutation::AnswersWhileLost(kinds)) if kinds & bit_of(input) != 0 => {
                watch.silent = true;
                if let Some(impostor) = &mut self.broken.impostor {
                    impostor.step(*input, watch);
                }
            }
            Some(Mutation::OneAnswersForAll(kinds)) if kinds & bit_of(input) != 0 => {
                let others = Replicas::first(self.broken.replicas).iter();
                for other in others.filter(|&other| other != self.id) {
                    self.protocol.step(as_from(other, *input), watch);
                }
            }
            Some(_) | None => {}
        }
    }
}

/// The same input as if another replica had sent it.
fn as_from<M>(other: ReplicaId, input: Input<M>) -> Input<M> {
    match input {
        Input::Message { message, payload, .. } => Input::Message { from: other, message, payload },
        Input::Installed { applied, .. } => Input::Installed { from: other, applied },
        Input::Started
        | Input::Requests(_)
        | Input::Reads(_)
        | Input::Timeout
        | Input::Change(_) => input,
    }
}
