//! Replication protocols as pure state machines.
//!
//! A protocol is a deterministic function of its inputs: time, messages, requests and a seed. It owns
//! no clock, disk, socket or thread, so the same code runs on the io_uring engine and in the
//! simulator. Read in this order:
//!
//! 1. [`types`]: one newtype for each meaning.
//! 2. [`protocol`]: the contract, [`Protocol`](protocol::Protocol) and
//!    [`Context`](protocol::Context).
//! 3. [`unreplicated`]: the smallest example, and the floor of every comparison.
//! 4. [`multi_paxos`] and [`abd`]: a log protocol and a register protocol, on [`registers`].
//!    [`quorum`] is the latter with other quorums, [`paxos`] the former without a leader.
//! 5. [`raft`], [`viewstamped`] and [`zab`]: a log without holes, on [`log`](mod@log), [`acks`] and [`catch_up`].
//! 6. [`two_phase_commit`] and [`paxos_commit`]: transactions over keys of different replicas, on
//!    [`transactions`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acks;
pub mod bytes;
pub mod catch_up;
pub mod command;
mod ledger;
pub mod log;
pub mod protocol;
pub mod reads;
pub mod registers;
pub mod transactions;
pub mod types;
pub mod window;
pub mod wire;

pub mod abd;
pub mod multi_paxos;
pub mod paxos;
pub mod paxos_commit;
pub mod quorum;
pub mod raft;
pub mod two_phase_commit;
pub mod unreplicated;
pub mod viewstamped;
pub mod zab;
