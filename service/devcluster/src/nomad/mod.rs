//! A Nomad-compatible server and client: jobs, scaling with its fence and its block, deployments, allocations.
//!
//! Inputs: HTTP requests, job documents. Outputs: the answers Nomad would give, and instances that start and stop.

mod client;
mod evaluate;
mod http;
mod job;
mod log;
mod state;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use client::Client;
pub(crate) use http::{Api, router};
pub(crate) use job::Job;
pub use log::NomadWrite;
pub(crate) use log::WriteLog;
pub(crate) use state::{Now, State};

/// The ID of the one node that there is.
const NODE_ID: &str = "00000000-0000-4000-8000-000000000001";
