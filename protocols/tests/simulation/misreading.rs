//! What a broken replica makes of its messages. A protocol that handles a message wrongly is a
//! right one that reads another message than was sent, so the protocols need not be changed.

mod hints;
mod observers;
mod oracle;
mod paxos;
mod paxos_commit;
pub(crate) mod reads;
mod transactions;
mod voters;
mod witnesses;

use std::collections::BTreeMap;

use synod_protocols::command::Commands;
use synod_protocols::multi_paxos;
use synod_protocols::protocol::Protocol;
use synod_protocols::transactions::owners;
use synod_protocols::types::{Ballot, Reign, ReplicaId, Replicas, Slot};
use synod_protocols::viewstamped;
use synod_protocols::wire::Wire;
use synod_protocols::zab;

use crate::arena::Bytes;
use crate::disk::Disk;
use crate::misreading_raft::misread_by_raft;
use crate::mutation::Mutation;
use crate::replica::{Packet, Replica, encoded};

/// A message and the other side of it: who sent it, or whom it is for.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) peer: ReplicaId,
    pub(crate) message: Vec<u8>,
    pub(crate) payload: Bytes,
}

impl Mail {
    pub(crate) fn saying(self, message: &impl Wire) -> Self {
        Self { message: encoded(message), ..self }
    }

    fn from(self, peer: ReplicaId) -> Self {
        Self { peer, ..self }
    }

    pub(crate) fn into_packet(self) -> (ReplicaId, Packet) {
        (self.peer, Packet::Message { message: self.message, payload: self.payload })
    }
}

impl<P: Protocol> Replica<P> {
    /// What this replica takes in when `mail` comes. What it says at once goes to `packets`.
    pub(crate) fn misread(
        &mut self,
        mail: Mail,
        packets: &mut Vec<(ReplicaId, Packet)>,
    ) -> Vec<Mail> {
        let mail = if self.any_oracle { oracle::misled(mail, &self.config) } else { mail };
        let kind = mail.message[0];
        let applied = self.life.as_ref().expect("only who lives reads").store.applied;
        match self.mutation {
            Some(Mutation::CountsTwice(counted)) if counted == kind => {
                let other = self.after(mail.peer, 1);
                vec![mail.clone(), mail.from(other)]
            }
            Some(Mutation::CountsRepeats(counted)) if counted == kind => {
                let life = self.life.as_mut().expect("only who lives reads");
                let times = life.counted.entry((mail.peer, mail.message.clone())).or_insert(0);
                *times += 1;
                let counts_for = *times - 1;
                let peer = self.after(mail.peer, counts_for);
                vec![mail.from(peer)]
            }
            Some(mutation) if P::NAME == "multi_paxos" => {
                misread_by_multi_paxos(mutation, mail, applied, &self.disk, packets)
            }
            Some(mutation) if P::NAME == "paxos" => {
                paxos::misread(mutation, mail, applied, &self.disk, packets)
            }
            Some(mutation) if P::NAME == "raft" => self.misread_raft(mutation, mail, packets),
            Some(mutation) if P::NAME == "viewstamped" => {
                self.misread_viewstamped(mutation, mail, applied, packets)
            }
            Some(mutation) if P::NAME == "zab" => {
                let log = zab_log(&self.disk);
                let me = self.config.id;
                if let Some(mails) = observers::misread(mutation, &mail, &self.config, log, packets)
                {
                    return mails;
                }
                vec![misread_by_zab(mutation, mail, applied, log, me, packets)]
            }
            Some(
                mutation @ (Mutation::CountsWithoutHint
                | Mutation::StoresHintsAsOwn
                | Mutation::DropsHintsEarly
                | Mutation::HandsOffOverNewer),
            ) => {
                let store = &mut self.life.as_mut().expect("only who lives reads").store;
                hints::misread(mutation, mail, store, packets)
            }
            Some(mutation) if P::NAME == "abd" || P::NAME == "quorum" => {
                vec![misread_by_registers(mutation, mail)]
            }
            Some(Mutation::ReadsWithoutLocks) => {
                let said = self.without_locks(&mail);
                if said.is_empty() {
                    return vec![mail];
                }
                packets.extend(said.into_iter().map(Mail::into_packet));
                Vec::new()
            }
            Some(mutation) if P::NAME == "two_phase_commit" => {
                transactions::misread(mutation, mail)
            }
            Some(mutation) if P::NAME == "paxos_commit" => {
                paxos_commit::misread(mutation, mail, &self.disk, packets)
            }
            Some(_) | None => vec![mail],
        }
    }

    fn misread_viewstamped(
        &self,
        mutation: Mutation,
        mail: Mail,
        applied: Slot,
        packets: &mut Vec<(ReplicaId, Packet)>,
    ) -> Vec<Mail> {
        if mail.message[0] == RECOVERY_RESPONSE {
            let senders = self.senders(mail.peer);
            return senders.iter().map(|peer| mail.clone().from(peer)).collect();
        }
        if mutation == Mutation::AcknowledgesWhileLost && self.is_lost() {
            packets.extend(acknowledgement(&mail).map(Mail::into_packet));
        }
        let (log, me) = (viewstamped_log(&self.disk), self.config.id);
        witnesses::misread(mutation, &mail, &self.config).unwrap_or_else(|| {
            vec![misread_by_viewstamped(mutation, mail, applied, log, me, packets)]
        })
    }

    fn misread_raft(
        &self,
        mutation: Mutation,
        mail: Mail,
        packets: &mut Vec<(ReplicaId, Packet)>,
    ) -> Vec<Mail> {
        if mutation.breaks_changes() {
            return vec![mail];
        }
        let read = self.misread_voters(mutation, &mail);
        read.unwrap_or_else(|| misread_by_raft(mutation, mail, &self.disk, packets))
    }

    /// What this replica says at once to who asks it to prepare what only reads; nothing to others.
    fn without_locks(&self, mail: &Mail) -> Vec<Mail> {
        // Both protocols ask with the first kind of message.
        if mail.message[0] != 1 {
            return Vec::new();
        }
        let replicas = self.config.replicas;
        let store = &self.life.as_ref().expect("only who lives reads").store;
        let vote = transactions::vote_without_locks(mail, self.config.id, replicas, store);
        let Some(vote) = vote else { return Vec::new() };
        if P::NAME == "two_phase_commit" {
            return transactions::prepared_without_locks(mail, vote).into_iter().collect();
        }
        let mut managers = Replicas::NONE;
        for command in Commands::new(&mail.payload.shared) {
            owners(&command, replicas).iter().for_each(|owner| {
                managers.insert(owner);
            });
        }
        paxos_commit::prepared_without_locks(mail, &vote, managers, &self.config)
    }

    /// Of whom a replica that has lost its disk has what it asked for, when one has sent it.
    pub(crate) fn senders(&self, one: ReplicaId) -> Replicas {
        if self.mutation == Some(Mutation::TakesOneForAll) {
            self.everyone().without(Replicas::only(self.config.id))
        } else {
            Replicas::only(one)
        }
    }

    /// Whether it has lost its disk, and not got back what it promised.
    pub(crate) fn is_lost(&self) -> bool {
        self.life.as_ref().is_some_and(|life| !life.protocol.is_whole())
    }

    /// The replica that many places behind another.
    fn after(&self, replica: ReplicaId, places: usize) -> ReplicaId {
        let index = (replica.index() + places) % self.config.replicas;
        ReplicaId(u8::try_from(index).expect("a few"))
    }
}

fn misread_by_multi_paxos(
    mutation: Mutation,
    mail: Mail,
    applied: Slot,
    disk: &Disk,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Vec<Mail> {
    use multi_paxos::Message;
    let message = Message::decode(&mail.message).expect("what was encoded");
    match (mutation, message) {
        (Mutation::HidesVotes, Message::Voted { .. }) => Vec::new(),
        (Mutation::HidesVotes, Message::Promise { ballot, from, until, .. }) => {
            let promise = Message::Promise { ballot, from, until, more: false, votes: 0 };
            vec![mail.saying(&promise)]
        }
        (Mutation::SkipsTail, Message::Voted { slot, .. }) if slot > applied => Vec::new(),
        (Mutation::SkipsTail, Message::Promise { ballot, from, until, votes, .. }) => {
            let promise = Message::Promise { ballot, from, until, more: false, votes: votes & 1 };
            vec![mail.saying(&promise)]
        }
        (Mutation::PicksLowestBallot, Message::Voted { ballot, slot, accepted, chosen: false }) => {
            // The other way round, and still one that a replica can have opened.
            let accepted = Ballot((1 << 40) + 8 - accepted.0);
            vec![mail.saying(&Message::Voted { ballot, slot, accepted, chosen: false })]
        }
        (Mutation::FillsWithNothing, Message::Voted { .. }) => {
            vec![Mail { payload: Bytes::default(), ..mail }]
        }
        (Mutation::VotesBelowPromise, Message::Accept { ballot, slot, .. })
            if ballot < promised(disk) =>
        {
            let vote = Mail { payload: Bytes::default(), ..mail };
            packets.push(vote.saying(&Message::Accepted { ballot, slot }).into_packet());
            Vec::new()
        }
        (
            Mutation::TrustsBound,
            Message::Heartbeat { ballot, chosen, .. } | Message::Accept { ballot, chosen, .. },
        ) if ballot >= promised(disk) => {
            let mut taken = told_as_chosen(disk, applied, mail.peer);
            taken.truncate(usize::try_from(chosen.0.saturating_sub(applied.0)).expect("few"));
            taken.push(mail);
            taken
        }
        (Mutation::TeachesVotes, Message::Learn { .. }) => {
            let told = told_as_chosen(disk, applied, mail.peer);
            packets.extend(told.into_iter().map(Mail::into_packet));
            vec![mail]
        }
        (Mutation::ReadsWithoutRinse, Message::QuorumReadReply { id, .. }) => {
            vec![mail.saying(&Message::QuorumReadReply { id, until: Slot(0) })]
        }
        (Mutation::LearnsPastHoles, Message::Chosen { slot, chosen }) if slot > applied => {
            vec![mail.saying(&Message::Chosen { slot: applied, chosen })]
        }
        _ => vec![mail],
    }
}

/// The highest ballot that a Multi-Paxos acceptor has promised.
fn promised(disk: &Disk) -> Ballot {
    use multi_paxos::Record;
    let ballots = disk.log().iter().map(|logged| {
        match Record::decode(&logged.record).expect("what was encoded") {
            Record::Promised { ballot }
            | Record::Accepted { ballot, .. }
            | Record::Checkpoint { ballot, .. } => ballot,
            Record::Chosen { .. } | Record::Installed { .. } => Ballot::ZERO,
        }
    });
    ballots.max().unwrap_or(Ballot::ZERO)
}

/// The votes of a Multi-Paxos acceptor from its first unapplied slot on, as far as there is no
/// gap, each as a message that calls it chosen.
fn told_as_chosen(disk: &Disk, applied: Slot, peer: ReplicaId) -> Vec<Mail> {
    use multi_paxos::{Message, Record};
    let mut votes = BTreeMap::new();
    for logged in disk.log() {
        if let Some(Record::Accepted { slot, .. }) = Record::decode(&logged.record) {
            votes.insert(slot, logged.payload.clone());
        }
    }
    (applied.0..)
        .map(Slot)
        .map_while(|slot| votes.remove(&slot).map(|payload| (slot, payload)))
        .map(|(slot, payload)| {
            let message = encoded(&Message::Chosen { slot, chosen: applied });
            Mail { peer, message, payload }
        })
        .collect()
}

/// The view of a replica of Viewstamped Replication, and where its log ends.
fn viewstamped_log(disk: &Disk) -> (Reign, Slot) {
    use viewstamped::Record;
    let (mut latest, mut end) = (Reign::ZERO, Slot(0));
    for logged in disk.log() {
        match Record::decode(&logged.record).expect("what was encoded") {
            Record::View { view } => latest = view,
            Record::Prepared { op, .. } => end = op.next(),
            Record::Normal { view, op } => (latest, end) = (view, op),
            Record::Checkpoint { view, applied, .. } => (latest, end) = (view, applied),
            Record::Installed { applied } => end = end.max(applied),
        }
    }
    (latest, end)
}

/// What a backup of Viewstamped Replication says that has all that the primary proposes.
fn acknowledgement(mail: &Mail) -> Option<Mail> {
    use viewstamped::Message;
    let message = Message::decode(&mail.message).expect("what was encoded");
    let Message::Prepare { view, op, .. } = message else { return None };
    let answer = Mail { payload: Bytes::default(), ..mail.clone() };
    Some(answer.saying(&Message::PrepareOk { view, op: op.next() }))
}

/// How Viewstamped Replication numbers what a replica is told that has lost its disk.
const RECOVERY_RESPONSE: u8 = 10;

fn misread_by_viewstamped(
    mutation: Mutation,
    mail: Mail,
    applied: Slot,
    (own_view, end): (Reign, Slot),
    me: ReplicaId,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Mail {
    use viewstamped::Message;
    let message = Message::decode(&mail.message).expect("what was encoded");
    match (mutation, message) {
        (Mutation::PicksLongestLog, Message::DoViewChange { view, op, commit, lost, base, .. }) => {
            let last_normal = Reign::ZERO;
            mail.saying(&Message::DoViewChange { view, last_normal, op, commit, lost, base })
        }
        (Mutation::BeginsWithOwnLog, Message::DoViewChange { view, lost, base, .. })
            if mail.peer != me =>
        {
            let (last_normal, op, commit) = (Reign::ZERO, Slot(0), Slot(0));
            mail.saying(&Message::DoViewChange { view, last_normal, op, commit, lost, base })
        }
        (Mutation::AcknowledgesOldViews, Message::Prepare { view, .. }) if view < own_view => {
            packets.extend(acknowledgement(&mail).map(Mail::into_packet));
            mail
        }
        (Mutation::TakesPartTooEarly, Message::StartView { view, commit, reign, .. })
            if mail.peer != me =>
        {
            mail.saying(&Message::StartView { view, op: applied, commit, reign })
        }
        (Mutation::AcknowledgesHoles, Message::Prepare { op, .. }) if op > end => {
            packets.extend(acknowledgement(&mail).map(Mail::into_packet));
            mail
        }
        (Mutation::AppendsPastHoles, Message::Prepare { view, op, commit }) if op > end => {
            mail.saying(&Message::Prepare { view, op: end, commit })
        }
        (Mutation::CommitsWhatIsProposed, Message::Prepare { view, op, .. }) => {
            mail.saying(&Message::Prepare { view, op, commit: op.next() })
        }
        _ => mail,
    }
}

/// The epoch that a replica of Zab has accepted, and where its history ends.
fn zab_log(disk: &Disk) -> (Reign, Slot) {
    use zab::Record;
    let (mut latest, mut end) = (Reign::ZERO, Slot(0));
    for logged in disk.log() {
        match Record::decode(&logged.record).expect("what was encoded") {
            Record::NewEpoch { epoch } => latest = epoch,
            Record::Proposed { zxid, .. } => end = zxid.next(),
            Record::NewLeader { zxid, .. } => end = zxid,
            Record::Checkpoint { accepted_epoch, applied, .. } => {
                (latest, end) = (accepted_epoch, applied);
            }
            Record::Installed { applied } => end = end.max(applied),
        }
    }
    (latest, end)
}

fn misread_by_zab(
    mutation: Mutation,
    mail: Mail,
    applied: Slot,
    (accepted_epoch, end): (Reign, Slot),
    me: ReplicaId,
    packets: &mut Vec<(ReplicaId, Packet)>,
) -> Mail {
    use zab::Message;
    let message = Message::decode(&mail.message).expect("what was encoded");
    let acknowledges = |epoch, zxid: Slot| {
        let answer = Mail { payload: Bytes::default(), ..mail.clone() };
        answer.saying(&Message::Ack { epoch, zxid: zxid.next() }).into_packet()
    };
    match (mutation, message) {
        // The oracle most often names who has the best history, which would hide the mistake: here it
        // names the first replica.
        (
            Mutation::PicksLongestLog | Mutation::BeginsWithOwnLog,
            Message::Notification { round, leader, looking, .. },
        ) => {
            let (epoch, zxid) = (Reign(1 << 40), Slot(0));
            mail.saying(&Message::Notification { round, leader, epoch, zxid, looking })
        }
        (Mutation::PicksLongestLog, Message::AckE { epoch, zxid, committed, .. }) => {
            let current_epoch = Reign::ZERO;
            mail.saying(&Message::AckE { epoch, current_epoch, zxid, committed })
        }
        (Mutation::BeginsWithOwnLog, Message::AckE { epoch, .. }) if mail.peer != me => {
            let (current_epoch, zxid, committed) = (Reign::ZERO, Slot(0), Slot(0));
            mail.saying(&Message::AckE { epoch, current_epoch, zxid, committed })
        }
        (Mutation::AcknowledgesOldViews, Message::Propose { epoch, zxid, .. })
            if epoch < accepted_epoch =>
        {
            packets.push(acknowledges(epoch, zxid));
            mail
        }
        (Mutation::TakesPartTooEarly, Message::NewLeader { epoch, proposed_in, .. }) => {
            mail.saying(&Message::NewLeader { epoch, zxid: applied, proposed_in })
        }
        (Mutation::AcknowledgesHoles, Message::Propose { epoch, zxid, .. }) if zxid > end => {
            packets.push(acknowledges(epoch, zxid));
            mail
        }
        (Mutation::AppendsPastHoles, Message::Propose { epoch, zxid, committed }) if zxid > end => {
            mail.saying(&Message::Propose { epoch, zxid: end, committed })
        }
        (Mutation::CommitsWhatIsProposed, Message::Propose { epoch, zxid, .. }) => {
            mail.saying(&Message::Propose { epoch, zxid, committed: zxid.next() })
        }
        (Mutation::CommitsWhatItHas, Message::CommitLd { epoch, .. }) => {
            mail.saying(&Message::CommitLd { epoch, zxid: end })
        }
        _ => mail,
    }
}

fn misread_by_registers(mutation: Mutation, mail: Mail) -> Mail {
    let kind = mail.message[0];
    let (writer, bytes) = (mail.peer, &mail.payload.shared);
    let shared = match (mutation, kind) {
        (Mutation::IgnoresWriteBacks, WRITE) => {
            entries(bytes).filter(|entry| entry[WRITER] == writer.0).flatten().copied().collect()
        }
        (Mutation::TagsWithoutWriter, WRITE) => {
            let mut bytes = bytes.to_vec();
            let mut at = 0;
            while at < bytes.len() {
                bytes[at + WRITER] = 0;
                at += entry_bytes(&bytes[at..]);
            }
            bytes.into()
        }
        (Mutation::WritesWithoutTags, QUERY) => {
            let mut bytes = bytes.to_vec();
            for item in bytes.chunks_exact_mut(16).filter(|item| item[8] == 0) {
                // A key that nobody has written.
                item[7] = 0xff;
            }
            bytes.into()
        }
        _ => bytes.clone(),
    };
    Mail { payload: Bytes { shared, commands: mail.payload.commands }, ..mail }
}

/// How ABD and the protocol of quorums number the question for tags, and that to write.
const QUERY: u8 = 1;
const WRITE: u8 = 3;

/// Where an entry of a write names the writer: the lowest byte of its tag, behind the key.
const WRITER: usize = 8;

/// The entries of a write.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (entry, rest) = bytes.split_at_checked(entry_bytes(bytes))?;
        bytes = rest;
        (!entry.is_empty()).then_some(entry)
    })
}

/// The length of the first entry: key, tag, place and the value's shape, then the value, padded.
fn entry_bytes(entries: &[u8]) -> usize {
    let shape = entries
        .get(24..28)
        .map_or(0, |shape| u32::from_le_bytes(shape.try_into().expect("4 bytes")) as usize);
    if entries.is_empty() { 0 } else { 32 + (shape >> 1).next_multiple_of(8) }
}
