//! What a replica counts about itself.

use synod_protocols::types::REPLICAS_MAX;

use super::Refusal;

/// Totals since the replica started. One thread writes them; others read copies.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Turns of the node.
    pub turns: u64,
    /// Batches proposed or redirected.
    pub batches: u64,
    /// Commands applied.
    pub commands: u64,
    /// Commands answered because they were repeated.
    pub repeated: u64,
    /// Commands refused because too many waited.
    pub busy: u64,
    /// Messages sent to other replicas.
    pub messages_sent: u64,
    /// Messages received from other replicas.
    pub messages_received: u64,
    /// Messages dropped because a replica did not take them.
    pub messages_dropped: u64,
    /// Bytes sent to other replicas.
    pub peer_bytes: u64,
    /// Sends to other replicas.
    pub peer_sends: u64,
    /// Bytes sent to clients.
    pub client_bytes: u64,
    /// Sends to clients.
    pub client_sends: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Synced writes of the log.
    pub log_writes: u64,
    /// Commands that this replica answered, by whose message made that possible: who was the last of
    /// the quorum.
    pub completed_by: [u64; REPLICAS_MAX],
    /// Rounds whose outcome was not known for a while after the vote.
    pub doubts: u64,
    /// How long that was for all of them.
    pub doubt_ns: u64,
    /// How long it was for the worst.
    pub doubt_ns_max: u64,
    /// Writes that were taken in the place of another replica.
    pub hints: u64,
    /// Those that were handed off to it.
    pub handoffs: u64,
    /// Connections that this side closed, by reason.
    pub rejected: Rejected,
}

/// Connections that were closed because the other end broke a rule, or did nothing.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rejected {
    /// Bytes that are no frame.
    pub frame: u64,
    /// A greeting of another format, cluster, group or replica.
    pub hello: u64,
    /// No knowledge of the key.
    pub proof: u64,
    /// A greeting that took too long.
    pub silence: u64,
    /// Too many that had not greeted.
    pub crowd: u64,
    /// A frame that this speaker may not send.
    pub kind: u64,
    /// A message that is none.
    pub message: u64,
    /// Commands that break a rule.
    pub commands: u64,
    /// A session of somebody else.
    pub session: u64,
    /// An operation that the protocol cannot carry.
    pub operation: u64,
}

impl Rejected {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { frame, hello, proof, silence, crowd, .. } = self;
        let Self { kind, message, commands, session, operation, .. } = self;
        frame + hello + proof + silence + crowd + kind + message + commands + session + operation
    }

    pub(super) fn count(&mut self, reason: &Refusal) {
        *match reason {
            Refusal::Frame(_) => &mut self.frame,
            Refusal::Hello => &mut self.hello,
            Refusal::Proof => &mut self.proof,
            Refusal::Silence => &mut self.silence,
            Refusal::Crowd => &mut self.crowd,
            Refusal::Kind(_) => &mut self.kind,
            Refusal::Message => &mut self.message,
            Refusal::Commands(_) => &mut self.commands,
            Refusal::Session => &mut self.session,
            Refusal::Operation => &mut self.operation,
        } += 1;
    }

    fn add(&mut self, other: &Self) {
        self.frame += other.frame;
        self.hello += other.hello;
        self.proof += other.proof;
        self.silence += other.silence;
        self.crowd += other.crowd;
        self.kind += other.kind;
        self.message += other.message;
        self.commands += other.commands;
        self.session += other.session;
        self.operation += other.operation;
    }
}

impl Counters {
    /// Adds those of another replica, or of another life.
    pub fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.batches += other.batches;
        self.commands += other.commands;
        self.repeated += other.repeated;
        self.busy += other.busy;
        self.messages_sent += other.messages_sent;
        self.messages_received += other.messages_received;
        self.messages_dropped += other.messages_dropped;
        self.peer_bytes += other.peer_bytes;
        self.peer_sends += other.peer_sends;
        self.client_bytes += other.client_bytes;
        self.client_sends += other.client_sends;
        self.log_bytes += other.log_bytes;
        self.log_writes += other.log_writes;
        self.doubts += other.doubts;
        for (mine, theirs) in self.completed_by.iter_mut().zip(other.completed_by) {
            *mine += theirs;
        }
        self.doubt_ns += other.doubt_ns;
        self.doubt_ns_max = self.doubt_ns_max.max(other.doubt_ns_max);
        self.hints += other.hints;
        self.handoffs += other.handoffs;
        self.rejected.add(&other.rejected);
    }
}
