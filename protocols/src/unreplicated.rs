//! No replication: one server, one log, no peers.
//!
//! The floor of every comparison, and the smallest example of the contract. It promises
//! linearizability as long as its one replica lives; what it costs above this is the price of
//! agreement.

use alloc::collections::VecDeque;

use crate::protocol::{Config, Conflict, Context, Input, Parameter, Protocol, Role, Service};
use crate::types::{Payload, ReplicaId, Slot, Time};
use crate::wire_enum;

wire_enum! {
    /// What the replica tells itself.
    pub enum Message {
        /// Everything up to this slot is durable.
        Logged = 1 {
            /// The last durable slot.
            slot: Slot,
        },
    }
}

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The batch of one slot.
        Batch = 1 {
            /// Its place in the log.
            slot: Slot,
        },
        /// Everything below this slot is in the snapshot.
        Checkpoint = 2 {
            /// The first slot that is not in the snapshot.
            applied: Slot,
        },
    }
}

/// The one replica.
#[derive(Debug)]
pub struct Unreplicated {
    id: ReplicaId,
    window: usize,
    /// Batches that wait for the disk, the first of them for slot `applied`.
    logging: VecDeque<Payload>,
    /// The first slot that was not applied.
    applied: Slot,
}

impl Protocol for Unreplicated {
    const NAME: &'static str = "unreplicated";
    const SUMMARY: &'static str = "One server without replication: the floor of every comparison.";
    const PAPER: &'static str = "none: one server with a log";
    const FAULT_MODEL: &'static str = "crash-recovery; nothing goes on without the one server";
    const PARAMETERS: &'static [Parameter] = &[];
    const SERVICE: Service = Service::StateMachine;
    /// There is nobody to ask.
    const REPAIRS: bool = false;
    const REPLICAS_MAX: usize = 1;

    type Message = Message;
    type Record = Record;

    fn validate(_replicas: usize, _parameters: &[u64]) -> Result<(), Conflict> {
        Ok(())
    }

    fn new(config: &Config) -> Self {
        let logging = VecDeque::with_capacity(config.window);
        Self { id: config.id, window: config.window, logging, applied: Slot(0) }
    }

    fn replay<C: Context<Self>>(&mut self, record: Record, payload: Payload, cx: &mut C) {
        match record {
            Record::Batch { slot } => {
                // After a checkpoint whose snapshot was never finished, batches come twice.
                if slot < self.applied {
                    return;
                }
                assert_eq!(slot, self.applied, "the log of one server has no gaps");
                cx.commit(slot, payload, false);
                self.applied = slot.next();
            }
            Record::Checkpoint { applied } => self.applied = self.applied.max(applied),
        }
    }

    fn step<C: Context<Self>>(&mut self, input: Input<Message>, cx: &mut C) {
        match input {
            Input::Requests(batch) => {
                let slot = self.applied + self.logging.len() as u64;
                cx.retain(batch);
                self.logging.push_back(batch);
                cx.append(Record::Batch { slot }, batch);
                cx.send(self.id, Message::Logged { slot }, Payload::EMPTY);
            }
            Input::Reads(_) => unreachable!("gets come among all requests"),
            Input::Message { message: Message::Logged { slot }, .. } => {
                while self.applied <= slot {
                    let batch = self.logging.pop_front().expect("a logged slot has its batch");
                    cx.commit(self.applied, batch, true);
                    cx.release(batch);
                    self.applied = self.applied.next();
                }
            }
            Input::Change(_) => unreachable!("nobody asks for what cannot be changed"),
            Input::Started | Input::Timeout | Input::Installed { .. } => {}
        }
    }

    fn deadline(&self) -> Time {
        Time::NEVER
    }

    fn room(&self) -> usize {
        self.window - self.logging.len()
    }

    fn checkpoint<C: Context<Self>>(&mut self, cx: &mut C) {
        cx.append(Record::Checkpoint { applied: self.applied }, Payload::EMPTY);
        for (slot, &batch) in (self.applied.0..).map(Slot).zip(&self.logging) {
            cx.append(Record::Batch { slot }, batch);
        }
    }

    fn check(&self) {
        assert!(self.logging.len() <= self.window);
    }

    fn role(&self) -> Role {
        Role::Leader
    }
}
