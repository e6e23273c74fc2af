//! Synod's engine: runs a protocol for real, one pinned thread and one io_uring for each core.
//!
//! Read in this order: [`node`] drives a protocol in a world that [`io`] describes; [`wal`],
//! [`store`], [`sessions`] and [`snapshot`] are what a replica keeps; [`load`] asks; [`cluster`],
//! [`replica`] and [`run`] put processes around all that; [`sim`] puts a world of virtual time
//! around it; [`suite`] runs many, [`knee`] and [`tune`] those that
//! look for something; [`calibrate`] makes the virtual world like this one, and [`predict`] asks it.

pub mod apply;
pub mod arena;
pub mod calibrate;
pub mod cluster;
pub mod count;
pub mod emulate;
pub mod explore;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod greeting;
pub mod io;
pub mod knee;
pub mod latency;
pub mod limits;
pub mod load;
pub mod node;
pub mod predict;
pub mod registry;
pub mod replica;
pub mod run;
pub mod sessions;
pub mod sim;
pub mod snapshot;
pub mod spans;
pub mod store;
pub mod suite;
pub mod tune;
pub mod wal;
