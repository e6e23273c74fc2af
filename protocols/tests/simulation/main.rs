//! Every protocol in a small simulated cluster: random faults by seed, broken worlds that the
//! checks must notice, and transcripts of the figures.
//!
//! `SYNOD_SEEDS=100000 cargo test -p synod-protocols --release` runs more seeds than usual.

mod arena;
mod bank;
mod clients;
mod cluster;
mod damage;
mod disk;
mod duel;
mod election_safety;
mod history;
mod holders;
mod misreading;
mod misreading_raft;
mod mutants;
mod mutation;
mod plan;
mod random;
mod randomised;
mod replica;
mod store;
mod transactions;
mod transcripts;
mod weaker;
