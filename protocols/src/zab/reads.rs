//! Gets that a replica answers from its own store, as ZooKeeper does (Hunt et al., *ZooKeeper: Wait-free
//! coordination for Internet-scale systems*, USENIX ATC 2010, sections 2.3 and 4.4).
//!
//! * **Local.** Any replica that leads or follows answers at once, with what it has applied. It may be
//!   behind, but not behind what the client was told before: each get names the last version that its
//!   client knows of, and waits until that is applied (ZooKeeper refuses such a client until then). So
//!   each client sees its own writes, and time does not run backwards for it: sequential consistency.
//! * **Sync.** The replica asks the leader first, and answers once it has applied what the leader had
//!   proposed by then: all that was ever answered, if the leader still leads. The leader does not ask
//!   whether it does, nor does ZooKeeper's (ZOOKEEPER-2136). So the promise is the same, and only as
//!   long as nobody is deposed the reads are fresh.

use super::{Message, Phase, Zab};
use crate::command::Commands;
use crate::protocol::Context;
use crate::types::{Payload, Reign, ReplicaId, Replicas, Slot, Time, slot_after};

/// How gets are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Broadcast, as all other commands.
    Log,
    /// By any replica, after asking the leader.
    Sync,
    /// By any replica.
    Local,
}

impl Way {
    pub(super) const OPTIONS: &'static [(&'static str, &'static str)] = &[
        ("log", "Broadcast, as all other commands."),
        ("sync", "By any replica, once it has what the leader has; the leader may be deposed."),
        (
            "local",
            "By any replica, as it is: not behind what the client saw, but maybe behind others.",
        ),
    ];

    pub(super) fn of(parameter: u64) -> Self {
        match parameter {
            0 => Self::Log,
            1 => Self::Sync,
            _ => Self::Local,
        }
    }
}

impl Zab {
    pub(super) fn on_reads<C: Context<Self>>(&mut self, gets: Payload, cx: &mut C) {
        let told = Commands::new(cx.bytes(gets)).map(|get| slot_after(get.expected)).max();
        let told = told.unwrap_or(Slot(0));
        if self.leads() && self.reads_way == Way::Sync {
            self.reads.push(gets, Replicas::only(self.id), told.max(self.log.end()), cx);
            return;
        }
        let id = self.reads.push(gets, Replicas::NONE, told, cx);
        if self.reads_way == Way::Sync
            && let Some(leader) = self.leader
        {
            // A question promises nothing.
            let epoch = self.current_epoch;
            cx.send_now(leader, Message::Sync { epoch, id }, Payload::EMPTY);
        }
    }

    pub(super) fn on_sync<C: Context<Self>>(
        &self,
        from: ReplicaId,
        epoch: Reign,
        id: u64,
        cx: &mut C,
    ) {
        if self.leads() && epoch == self.current_epoch {
            // It only makes the other wait for what is durable.
            cx.send_now(from, Message::Synced { epoch, id, zxid: self.log.end() }, Payload::EMPTY);
        }
    }

    pub(super) fn on_synced(&mut self, from: ReplicaId, epoch: Reign, id: u64, zxid: Slot) {
        if self.phase == Phase::Broadcast && epoch == self.current_epoch {
            self.reads.hear(id, from, zxid);
        }
    }

    /// Answers what may be answered. Called at the end of each step.
    pub(super) fn serve_reads<C: Context<Self>>(&mut self, cx: &mut C) {
        if self.phase != Phase::Broadcast {
            self.reads.redirect(None, cx);
            return;
        }
        let heard = usize::from(self.reads_way == Way::Sync);
        self.reads.serve(self.log.applied(), |who| who.len() >= heard, cx);
        if let (Way::Sync, Some(leader)) = (self.reads_way, self.leader) {
            let epoch = self.current_epoch;
            self.reads.ask_again(cx.now(), self.heartbeat_ns, |id, heard| {
                if heard.is_empty() {
                    cx.send_now(leader, Message::Sync { epoch, id }, Payload::EMPTY);
                }
            });
        }
    }

    /// When an unanswered question of a read is asked again.
    pub(super) fn reads_deadline(&self) -> Time {
        match self.reads_way {
            Way::Sync => self.reads.ask_at(self.heartbeat_ns),
            Way::Log | Way::Local => Time::NEVER,
        }
    }
}
