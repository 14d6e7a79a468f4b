//! Consul- and Nomad-compatible servers in one process, with faults on demand.
//!
//! For `weir demo`, tests and benches. It knows no other crate of the workspace: a fake that shared code with the client
//! would share its bugs.
//!
//! * [`Cluster`] starts both servers; jobs that are run in it become instances, small HTTP servers on loopback.
//! * [`Faults`] makes Consul or Nomad fail in the ways they do.
//! * [`load`] sends requests at a given rate and counts what became of them.

mod cluster;
mod consul;
mod duration;
mod fault;
mod id;
mod instance;
pub mod load;
mod nomad;
mod spec;
mod store;
mod wire;

pub use cluster::{Cluster, JobRefused, Options};
pub use fault::Faults;
pub use instance::{InstanceState, InstanceView, StopMode};
pub use nomad::NomadWrite;
pub use spec::JobSpec;
