//! Nomad: a group of instances, and the deployment that every change of its count starts.
//!
//! In: counts that are asked for. Out: instances that are placed or stopped, or a refusal while a deployment
//! runs. A deployment ends when the last new instance, or without one the old ones, have been healthy for
//! `min_healthy`. All instances of a change start at once; those with the highest index are stopped first
//! (`scheduler/reconciler`, `computeStop`).

use super::moment::{Micros, micros};
use super::random::Random;
use super::setting::Cluster;
use super::view::Ask;

/// The group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    cluster: Cluster,
    random: Random,
    instances: Vec<Instance>,
    /// The instances that are wanted, in the order they were placed; never many.
    live: Vec<usize>,
    /// When the running deployment ends.
    deployed: Micros,
    /// Each change of the count raises it.
    index: u64,
}

/// One instance, of any age. Its number is its server's in the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    /// The number in its name, `web.app[N]`: the lowest that was free.
    pub(super) name: u64,
    pub(super) placed: Micros,
    /// When the application answers.
    pub(super) started: Micros,
    /// When the first good check is.
    pub(super) healthy: Micros,
    /// When it was told to stop.
    pub(super) stopped: Option<Micros>,
}

/// What a change of the count did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changed {
    Placed(Vec<usize>),
    Stopped(Vec<usize>),
}

impl Group {
    /// With the cluster's first instances healthy.
    pub(super) fn new(cluster: Cluster, seed: u64) -> Self {
        let healthy = |name| Instance { name, placed: 0, started: 0, healthy: 0, stopped: None };
        let instances: Vec<Instance> = (0..cluster.initial).map(healthy).collect();
        let live = (0..instances.len()).collect();
        Self { cluster, random: Random::new(seed), instances, live, deployed: 0, index: 1 }
    }

    pub(super) fn count(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn instance(&self, number: usize) -> &Instance {
        &self.instances[number]
    }

    /// All instances there ever were.
    pub(super) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Those that are wanted.
    pub(super) fn live(&self) -> &[usize] {
        &self.live
    }

    /// Until when a scale is refused, if it is.
    pub(super) fn deploying(&self, now: Micros) -> Option<Micros> {
        (self.cluster.min_healthy.is_some() && now < self.deployed).then_some(self.deployed)
    }

    /// Asks for another count; nothing while a deployment runs that is not to be replaced.
    pub(super) fn scale(&mut self, now: Micros, ask: Ask) -> Option<Changed> {
        if self.deploying(now).is_some() && !ask.supersede {
            return None;
        }
        let count = ask.count;
        self.index += 1;
        let before = self.count();
        let changed = if count >= before {
            Changed::Placed((before..count).map(|_| self.place(now)).collect())
        } else {
            Changed::Stopped((count..before).filter_map(|_| self.stop(now)).collect())
        };
        let last = self.live.iter().map(|&number| self.instances[number].healthy).max();
        let healthy = last.unwrap_or(now).max(now);
        self.deployed = healthy + micros(self.cluster.min_healthy.unwrap_or(0.0));
        Some(changed)
    }

    fn place(&mut self, now: Micros) -> usize {
        let taken = |name| self.live.iter().any(|&number| self.instances[number].name == name);
        let name = (0..=self.count()).find(|&name| !taken(name)).unwrap_or(0);
        let started = now + micros(self.cluster.start);
        let healthy = started + micros(self.cluster.check * self.random.unit());
        self.instances.push(Instance { name, placed: now, started, healthy, stopped: None });
        self.live.push(self.instances.len() - 1);
        self.instances.len() - 1
    }

    fn stop(&mut self, now: Micros) -> Option<usize> {
        let highest = (0..self.live.len()).max_by_key(|&at| self.instances[self.live[at]].name)?;
        let victim = self.live.remove(highest);
        self.instances[victim].stopped = Some(now);
        Some(victim)
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::SECOND;
    use super::*;

    fn group() -> Group {
        Group::new(Cluster { start: 3.0, min_healthy: Some(2.0), ..Cluster::default() }, 1)
    }

    #[test]
    fn a_scale_is_refused_until_the_new_instances_were_healthy() {
        let mut group = group();
        assert_eq!(group.scale(0, Ask::scale(4)), Some(Changed::Placed(vec![2, 3])));
        assert_eq!(group.scale(5 * SECOND, Ask::scale(5)), None);
        assert!(group.deploying(5 * SECOND).is_some_and(|until| until <= 6 * SECOND));
        assert_eq!(group.scale(6 * SECOND, Ask::scale(3)), Some(Changed::Stopped(vec![3])));
        // The ones that stay are updated in place, and must be healthy as long again.
        assert_eq!((group.scale(7 * SECOND, Ask::scale(4)), group.count()), (None, 3));
        assert!(group.scale(8 * SECOND, Ask::scale(4)).is_some());
    }

    #[test]
    fn the_highest_names_stop_first_and_free_names_are_taken_again() {
        let mut group = group();
        group.scale(0, Ask::scale(5));
        group.scale(60 * SECOND, Ask::scale(3));
        group.scale(120 * SECOND, Ask::scale(4));
        let names: Vec<u64> = group.live().iter().map(|&number| group.instance(number).name).collect();
        assert_eq!(names, [0, 1, 2, 3]);
        assert_eq!(group.scale(180 * SECOND, Ask::scale(3)), Some(Changed::Stopped(vec![5])));
    }

    #[test]
    fn a_deployment_can_be_replaced_and_the_next_one_takes_as_long() {
        let mut group = group();
        group.scale(0, Ask::scale(4));
        let more = Ask { count: 6, supersede: true };
        assert_eq!(group.scale(SECOND, more), Some(Changed::Placed(vec![4, 5])));
        assert!(group.deploying(6 * SECOND).is_some());
    }

    #[test]
    fn without_deployments_nothing_is_refused() {
        let mut group = Group::new(Cluster { min_healthy: None, ..Cluster::default() }, 1);
        assert!(group.scale(0, Ask::scale(4)).is_some() && group.scale(0, Ask::scale(9)).is_some());
    }
}
