//! How many instances a group needs: samples, demand, policies, decisions.
//!
//! Pure: no I/O, no clock, no randomness. [`Sample`]s come from every HAProxy process; [`measure`] finds in them the
//! work that one group of instances has, [`History`] makes a [`Demand`] of what was measured lately, [`parse`] a
//! [`Policy`] of what Nomad hands out, and [`decide`] a [`Decision`] of both, which carries its inputs and every
//! vote and clamp with its reason.

mod blocks;
mod decide;
mod decision;
mod demand;
mod duration;
mod history;
mod parse;
mod policy;
mod raw;
mod sample;
mod strategy;

pub use decide::{Seen, decide};
pub use decision::{Action, Clamp, Decision, Direction, LastScale, Rule, Vote};
pub use demand::{Counter, Measure, Reading, Unknown, measure};
pub use duration::{format_duration, parse_duration};
pub use history::{Demand, FRESH, History, Load, SMOOTHING};
pub use parse::{Problem, parse};
pub use policy::{Check, Concurrency, OnCheckError, Policy, Strategy, TargetValue};
pub use raw::RawPolicy;
pub use sample::{BackendSample, Process, Sample, ServerSample, ServerState};
pub use strategy::{instances_for, target_value};
