//! What protocols for registers share: every replica stores values under tags, and coordinates the
//! requests that it gets.
//!
//! 1. [`items`]: what the payloads of messages hold, one item for each command.
//! 2. [`rounds`]: batches on their way, each with a question and the answers to it.
//! 3. [`coordinator`]: the lives of a replica, the tags that it makes, and how it gets back what it
//!    has lost.

use crate::command::{Command, Commands, Op, Status};
use crate::protocol::{Context, Protocol};
use crate::types::{Payload, ReplicaId};
use crate::wire_enum;

pub mod coordinator;
pub mod items;
pub mod rounds;

use coordinator::Coordinator;
use items::Entry;

wire_enum! {
    /// What survives a crash.
    pub enum Record {
        /// The number of a life of this replica.
        Life = 1 {
            /// It grows with each restart.
            life: u16,
        },
        /// Registers that were written; they are the payload.
        Written = 2 {},
        /// This replica once lost its lives and its registers, and got those back.
        Recovered = 3 {},
        /// Hinted handoff: registers that are kept for another replica; they are the payload.
        Hinted = 4 {
            /// Whom they are meant for.
            meant_for: ReplicaId,
        },
    }
}

/// Takes in a record of an earlier life.
pub fn replay<P: Protocol, C: Context<P>>(
    record: Record,
    payload: Payload,
    coordinator: &mut Coordinator,
    cx: &mut C,
) {
    match record {
        Record::Life { life } => coordinator.lived(life),
        Record::Written {} => write_entries(payload, cx),
        Record::Recovered {} => coordinator.had_recovered(),
        Record::Hinted { .. } => unreachable!("who keeps hints takes them in itself"),
    }
}

/// Stores registers, each unless a larger tag is there.
pub fn write_entries<P: Protocol, C: Context<P>>(entries: Payload, cx: &mut C) {
    let mut at = 0;
    while at < entries.bytes as usize {
        let (entry, next) = Entry::read(cx.bytes(entries), entries, at);
        at = next;
        cx.write_register(entry.key, entry.tag, entry.value.deleted, entry.value.bytes);
    }
}

/// The command of a batch that starts at `offset`.
#[inline]
#[must_use]
pub fn command_at_offset(batch: &[u8], offset: usize) -> Command<'_> {
    Commands::new(&batch[offset..]).next().expect("as many commands as the batch counts")
}

/// Replies to every command of a batch that has an entry: the entries are in the order of the batch.
pub fn reply_to_written<P: Protocol, C: Context<P>>(batch: Payload, entries: Payload, cx: &mut C) {
    let (mut index, mut command_at, mut entry_at) = (0, 0, 0);
    while entry_at < entries.bytes as usize {
        let (entry, next) = Entry::read(cx.bytes(entries), entries, entry_at);
        entry_at = next;
        let command = loop {
            let command = command_at_offset(cx.bytes(batch), command_at);
            command_at += command.encoded_bytes();
            index += 1;
            if index > entry.index {
                break command;
            }
        };
        let (session, sequence) = (command.session.0, command.sequence);
        let (status, value) = match command.op {
            Op::Get if entry.value.deleted => (Status::Absent, entry.value.bytes),
            Op::Get => (Status::Ok, entry.value.bytes),
            Op::Put | Op::Delete => (Status::Ok, Payload::EMPTY),
            Op::CompareAndSwap | Op::Add | Op::Transact => unreachable!("registers refuse it"),
        };
        cx.reply(session, sequence, status, entry.tag, value);
    }
}
