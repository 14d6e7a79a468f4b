//! The group's allocations, and which of them Nomad stops for a lower count.
//!
//! In: what Nomad says of each allocation. Out: the victims. Nomad cannot be told which to stop, but its
//! order is known (`computeStop` in `scheduler/reconciler/reconcile_cluster.go`, and seen on a 2.0.6-dev: 6 →
//! 3 → 2 stopped `[5]`, `[4]`, `[3]`, then `[2]`), so exactly those can be drained before.

use std::collections::BTreeSet;

use serde::Serialize;

/// One allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// The allocation's ID.
    pub id: String,
    /// The number in its name: 3 of `web.app[3]`.
    pub index: u64,
    /// What it does.
    pub state: InstanceState,
    /// Whether it is the canary of a deployment that waits for promotion: it is on top of the count.
    pub canary: bool,
    /// Whether its node is being drained: it is replaced elsewhere.
    pub migrating: bool,
    /// Sessions that old HAProxy processes still have with it; these cannot be moved.
    pub old_sessions: u64,
}

/// What an allocation does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Placed, and not yet passing its checks: it will serve.
    Starting,
    /// Its server takes sessions.
    #[default]
    Serving,
    /// Its node is cut off (`unknown`): it may be back or not, so that it is neither capacity nor a victim.
    Unknown,
    /// It is being stopped, or has ended.
    Ending,
}

impl Instance {
    /// Whether it counts for the group's count.
    fn is_live(&self) -> bool {
        !self.canary && matches!(self.state, InstanceState::Starting | InstanceState::Serving)
    }
}

/// The allocations that Nomad stops when the count becomes `count`, in its order: those whose name a canary
/// has taken, those that are migrating, then the highest name index first.
pub fn victims(instances: &[Instance], count: u64) -> Vec<&Instance> {
    let canaries: BTreeSet<u64> = instances.iter().filter(|one| one.canary).map(|one| one.index).collect();
    let mut live: Vec<&Instance> = instances.iter().filter(|one| one.is_live()).collect();
    let stops = (live.len() as u64).saturating_sub(count);
    live.sort_by_key(|one| (!canaries.contains(&one.index), !one.migrating, std::cmp::Reverse(one.index)));
    live.truncate(usize::try_from(stops).unwrap_or(usize::MAX));
    live
}

/// The lowest count from `count` on whose victims have no session of an old HAProxy process.
pub(crate) fn without_old_sessions(instances: &[Instance], count: u64) -> u64 {
    let stopped = victims(instances, count);
    let spared = stopped.iter().position(|one| one.old_sessions > 0);
    count + spared.map_or(0, |first| (stopped.len() - first) as u64)
}

/// Allocations that hold a place of the count, and have no replacement.
pub(crate) fn unreplaced(instances: &[Instance], count: u64) -> u64 {
    let unknown = instances.iter().filter(|one| one.state == InstanceState::Unknown && !one.canary).count();
    let live = instances.iter().filter(|one| one.is_live()).count() as u64;
    (unknown as u64).min(count.saturating_sub(live))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(index: u64) -> Instance {
        Instance { id: format!("a{index}"), index, ..Instance::default() }
    }

    fn indexes(instances: &[Instance], count: u64) -> Vec<u64> {
        victims(instances, count).iter().map(|one| one.index).collect()
    }

    #[test]
    fn the_highest_index_goes_first() {
        let six: Vec<Instance> = [3, 0, 5, 1, 4, 2].map(instance).to_vec();
        assert_eq!(indexes(&six, 3), [5, 4, 3]);
        assert_eq!(indexes(&six[..3], 2), [5]);
        assert_eq!(indexes(&six, 6), Vec::<u64>::new());
        assert_eq!(indexes(&six, 9), Vec::<u64>::new());
    }

    #[test]
    fn after_twins_of_canaries_and_migrating_ones() {
        let mut five: Vec<Instance> = (0..5).map(instance).collect();
        five[1].migrating = true;
        five.push(Instance { canary: true, ..instance(0) });
        assert_eq!(indexes(&five, 2), [0, 1, 4]);
    }

    #[test]
    fn what_is_cut_off_or_ending_is_no_victim() {
        let mut five: Vec<Instance> = (0..5).map(instance).collect();
        five[4].state = InstanceState::Unknown;
        five[3].state = InstanceState::Ending;
        five[2].state = InstanceState::Starting;
        assert_eq!(indexes(&five, 1), [2, 1]);
        assert_eq!((unreplaced(&five, 5), unreplaced(&five, 3)), (1, 0));
    }

    #[test]
    fn old_sessions_spare_their_own_instance() {
        let mut five: Vec<Instance> = (0..5).map(instance).collect();
        five[3].old_sessions = 2;
        assert_eq!(without_old_sessions(&five, 2), 4);
        assert_eq!(without_old_sessions(&five, 4), 4);
        five[3].old_sessions = 0;
        five[0].old_sessions = 9;
        assert_eq!(without_old_sessions(&five, 2), 2);
    }
}
