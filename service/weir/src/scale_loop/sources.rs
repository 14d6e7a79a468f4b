//! What the checks look at besides HAProxy: asked when a policy is due, counted in the next decision.

use std::collections::BTreeMap;
use std::time::SystemTime;

use weir_scaling::{Metric, Policy};

use super::{Effect, ScaleLoop};

impl ScaleLoop {
    /// Takes in when connections last went from one load balancer to another.
    pub(crate) fn note_role_change(&mut self, at: Option<SystemTime>) {
        self.role_changed = self.role_changed.max(at);
    }

    /// Asks the sources of a policy that is due.
    pub(super) fn ask_sources(&mut self, time: SystemTime, id: &str) {
        let policy = self.policies.get(id).and_then(|tracked| tracked.good.as_ref());
        let due = policy.map(|policy| self.ledger.due(time, policy)).unwrap_or_default();
        self.effects.extend(due.into_iter().map(Effect::Ask));
    }

    /// What they answered, by the check's label.
    pub(super) fn answered(&self, time: SystemTime, policy: &Policy) -> BTreeMap<String, Metric> {
        self.ledger.metrics(policy, time)
    }

    /// Forgets what nobody asks any more.
    pub(super) fn forget_sources(&mut self) {
        self.ledger.keep(self.policies.values().filter_map(|tracked| tracked.good.as_ref()));
    }
}
