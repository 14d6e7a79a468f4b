//! The scaler's state as the status shows it.

use std::time::Instant;

use weir_consul::Leadership;
use weir_nomad::policies::Reach;

use super::{ScaleLoop, Tracked};
use crate::status::{LeaderStatus, NomadStatus, PolicyStatus, ScalingStatus};

impl ScaleLoop {
    /// The state as it is now.
    pub(crate) fn report(&self, now: Instant) -> ScalingStatus {
        ScalingStatus {
            leader: self.leader(now),
            nomad: nomad(&self.reach),
            policies: self.policies.values().map(policy).collect(),
        }
    }

    fn leader(&self, now: Instant) -> LeaderStatus {
        let seeking = self.reach == Reach::Ok;
        let (state, holder) = match &self.leadership {
            Leadership::Leading { .. } if self.leads(now) => ("leading", None),
            Leadership::Leading { .. } => ("following", None),
            Leadership::Following { holder } if seeking => ("following", holder.clone()),
            Leadership::Following { holder } => ("not_seeking", holder.clone()),
        };
        LeaderStatus { state: state.to_owned(), holder }
    }
}

fn nomad(reach: &Reach) -> NomadStatus {
    let (state, error) = match reach {
        Reach::Pending => ("starting", None),
        Reach::Ok => ("ok", None),
        Reach::Unreachable { error, .. } => ("unreachable", Some(error.clone())),
    };
    NomadStatus { state: state.to_owned(), error }
}

fn policy(tracked: &Tracked) -> PolicyStatus {
    let raw = &tracked.raw;
    PolicyStatus {
        id: raw.id.clone(),
        namespace: raw.namespace.clone(),
        job: raw.job.clone(),
        group: raw.group.clone(),
        min: raw.min,
        max: raw.max,
        problems: tracked.problems.clone(),
        last_decision: tracked.last.as_ref().and_then(|decision| serde_json::to_value(decision).ok()),
    }
}
