//! How many instances a group needs: samples, demand, policies, decisions.
//!
//! Pure: no I/O, no clock, no randomness. [`Sample`]s come from every HAProxy process, [`decide`] turns demand
//! and a policy into a [`Decision`] that carries its inputs and every vote and clamp with its reason.

mod sample;

pub use sample::{BackendSample, Process, Sample, ServerSample, ServerState};
