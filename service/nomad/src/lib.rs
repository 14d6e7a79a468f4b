//! Nomad's HTTP API, as far as scaling needs it.
//!
//! [`Client`] reads jobs, allocations, deployments and scaling policies and writes one thing: the count of a
//! group, fenced by the index that the decision was made from, and notices beside it. [`policies::spawn`]
//! keeps all scaling policies current by blocking queries. Every request has a time-out; every failure is an
//! [`Error`] that names the situation.
//!
//! The requests themselves are in `generated`, made from `openapi.yaml` by the crate in `codegen/`.

mod access;
mod backoff;
mod client;
mod error;
#[rustfmt::skip]
#[allow(
    missing_docs, unreachable_pub, unused_qualifications, rust_2018_idioms, dead_code, clippy::pedantic,
    clippy::unwrap_used, private_interfaces,
    reason = "generated: what it looks like is the generator's business"
)]
mod generated;
mod model;
mod options;
pub mod policies;
mod transport;
mod usage;

pub use client::Client;
pub use error::Error;
pub use model::{
    Allocation, Deployment, GroupScale, Job, JobScale, Notice, ScaleEvent, ScaleOutcome, ScaleRequest,
    last_scale, name_index, scales,
};
pub use options::{Options, OptionsError, Tls, Token};
pub use usage::{Given, Usage};
