//! Floors and ceilings: `min` and `max`, and those of the schedules that are open now.
//!
//! Of overlapping schedules the highest floor and the highest ceiling hold. Nomad refuses counts outside of
//! the job's own bounds, so schedules move within these. A floor above a ceiling wins: it is there to be
//! safe.

use std::time::SystemTime;

use crate::policy::Policy;

/// The bounds that hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) floor: u64,
    pub(super) ceiling: u64,
    /// Whether a schedule made the floor.
    pub(super) floor_by_schedule: bool,
    /// Whether a schedule made the ceiling.
    pub(super) ceiling_by_schedule: bool,
}

pub(super) fn bounds(policy: &Policy, now: SystemTime) -> Bounds {
    let open = || policy.schedules.iter().filter(|schedule| !schedule.is_gate() && schedule.is_open(now));
    let floor = open().filter_map(|schedule| schedule.min).max().unwrap_or(0).max(policy.min).min(policy.max);
    let lowest = open().filter_map(|schedule| schedule.max).max().unwrap_or(u64::MAX);
    let ceiling = lowest.min(policy.max).max(floor);
    Bounds {
        floor,
        ceiling,
        floor_by_schedule: floor > policy.min,
        ceiling_by_schedule: ceiling < policy.max,
    }
}
