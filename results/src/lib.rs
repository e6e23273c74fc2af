//! What came out of a run of Synod.
//!
//! In reading order: [`history`] is what the clients saw and [`check`] decides whether it is
//! linearizable; [`record`] measures latencies, which [`hlog`] and [`hgrm`] write down;
//! [`summary`] is a whole run in one document, on the machine that [`environment`] describes, and
//! [`run_folder`] keeps all of it on disk, [`suite`] many of them; [`table`], [`suite_table`], [`timeline`] and [`compare`] show it.
//! [`gaps`] says how long nothing was answered after a fault. [`statistics`] says what repeats of a run tell.
//! [`exchange`] speaks the formats of other checkers, and [`verify`] opens whatever holds a history.
//! [`columns`] are tables for other programs, as comma-separated values or, with the feature `parquet`, as that.

pub mod breakdown;
pub mod check;
pub mod columns;
pub mod compare;
pub mod environment;
pub mod exchange;
pub mod gaps;
pub mod hgrm;
pub mod history;
pub mod hlog;
pub mod model;
pub mod objective;
#[cfg(feature = "parquet")]
pub mod parquet;
mod random;
pub mod record;
pub mod report;
pub mod run_folder;
pub mod service;
pub mod statistics;
pub mod suite;
pub mod suite_table;
pub mod summary;
pub mod table;
pub mod timeline;
pub mod units;
pub mod verify;
