//! The crate from outside, with the workloads that are shipped and with others.

mod model;
mod overrides;
mod robust;
mod schema;
mod shipped;
mod suite;
mod support;
mod wrong;
