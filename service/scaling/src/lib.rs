//! How many instances a group needs: samples, demand, policies, decisions.
//!
//! Pure: no I/O, no clock, no randomness; the one exception is the time zone database, see [`parse()`].
//! [`Sample`]s come from every HAProxy process; [`measure`] finds in them the work that one group of
//! instances has, [`History`] makes a [`Demand`] of what was measured lately, [`parse()`] a [`Policy`] of
//! what Nomad hands out, and [`decide()`] a [`Decision`] of both, which carries its inputs and every vote and
//! clamp with its reason. [`Memory`] keeps what later decisions look back on. A turn is:
//! `history.push(measure(…))`, a [`Seen`] with `history.demand(now)`, `metrics(…)` and the memory,
//! `decide(…)`, `memory.note(…)`.

mod blocks;
mod cron;
mod decide;
mod decision;
mod demand;
mod duration;
mod history;
mod instances;
mod memory;
mod parse;
mod policy;
mod raw;
mod sample;
mod schedule;
mod seen;
pub mod simulate;
mod strategy;
mod tunnels;

pub use cron::Cron;
pub use decide::decide;
pub use decision::{Action, Clamp, Decision, Direction, LastScale, Rule, Vote};
pub use demand::{Counter, Measure, Reading, Undealt, Unknown, measure};
pub use duration::{format_duration, parse_duration};
pub use history::{Demand, FRESH, Gain, History, Load, Metric, SMOOTHING, metrics};
pub use instances::{Instance, InstanceState, victims};
pub use memory::Memory;
pub use parse::{Problem, Zones, parse, parse_in};
pub use policy::{
    Behavior, Change, Check, Concurrency, Drain, MaxBy, NomadMetric, OnCheckError, OnMissing, Panic,
    PassThrough, Policy, Rate, RateUnit, Resource, Select, Signal, Source, Statistic, Steps, Strategy,
    TargetValue, Threshold, Window,
};
pub use raw::RawPolicy;
pub use sample::{BackendSample, Process, Sample, ServerSample, ServerState};
pub use schedule::{End, Schedule};
pub use seen::{Deployment, Scale, Seen, Timing};
pub use strategy::{margin_factor, pass_through, target_value, threshold, waiting};
pub use tunnels::Tunnels;
