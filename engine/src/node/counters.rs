//! What a replica counts about itself.

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
    /// Connections that were refused.
    pub refused: u64,
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
        self.refused += other.refused;
    }
}
