//! What replicas may get wrong about witnesses.

use synod_protocols::protocol::Config;
use synod_protocols::types::{Reign, ReplicaId, Slot};
use synod_protocols::viewstamped::Message;
use synod_protocols::wire::Wire;

use super::Mail;
use crate::mutation::Mutation;

/// What is taken in instead of a message, if it concerns witnesses.
pub(super) fn misread(mutation: Mutation, mail: &Mail, config: &Config) -> Option<Vec<Mail>> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let active = config.replicas - config.witnesses;
    match (mutation, message) {
        (Mutation::DropsWhatIsCommitted, Message::Commit { view, commit })
            if config.is_witness() =>
        {
            let stable = Message::Stable { view, op: commit, called: false };
            Some(vec![mail.clone(), mail.clone().saying(&stable)])
        }
        (Mutation::SkipsToCommitted, Message::Prepare { view, commit, .. })
            if config.is_witness() =>
        {
            let stable = Message::Stable { view, op: commit, called: true };
            Some(vec![mail.clone().saying(&stable), mail.clone()])
        }
        (Mutation::CountsWitnessesAsActive, Message::PrepareOk { .. })
            if mail.peer.index() >= active =>
        {
            // For one that does not receive it.
            let counted = (0..active).find(|&other| other != config.id.index())?;
            let other = ReplicaId(u8::try_from(counted).expect("a few"));
            Some(vec![mail.clone(), mail.clone().from(other)])
        }
        (Mutation::IgnoresLogsOfWitnesses, Message::DoViewChange { view, lost, .. })
            if mail.peer.index() >= active =>
        {
            let (last_normal, op, commit, base) = (Reign::ZERO, Slot(0), Slot(0), Slot(0));
            let empty = Message::DoViewChange { view, last_normal, op, commit, lost, base };
            Some(vec![mail.clone().saying(&empty)])
        }
        _ => None,
    }
}
