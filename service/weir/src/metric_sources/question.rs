//! What a check asks of a source.

use std::time::Duration;

use weir_scaling::{Check, NomadMetric, Policy, Source, Window};

/// Nomad's clients measure every second, and each allocation is a request: it is asked no more often than
/// this.
const NOMAD_AT_MOST: Duration = Duration::from_secs(5);

/// A question that several checks may share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Prometheus { query: String, window: Window, offset: Duration },
    Nomad(Usage),
}

/// What the allocations of a group use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Usage {
    pub(crate) namespace: String,
    pub(crate) job: String,
    pub(crate) group: String,
    pub(crate) metric: NomadMetric,
}

impl Question {
    /// What a check of this policy asks; nothing of HAProxy, which is read anyway.
    pub(crate) fn of(policy: &Policy, check: &Check) -> Option<Self> {
        match &check.source {
            Source::Haproxy(_) | Source::Nothing => None,
            Source::Prometheus(query) => {
                Some(Self::Prometheus { query: query.clone(), window: check.window, offset: check.offset })
            }
            Source::Nomad(metric) => Some(Self::Nomad(Usage {
                namespace: policy.namespace.clone(),
                job: policy.job.clone(),
                group: policy.group.clone(),
                metric: *metric,
            })),
        }
    }

    /// How often it is asked for a policy that is looked at every `interval`.
    pub(crate) fn period(&self, interval: Duration) -> Duration {
        match self {
            Self::Prometheus { .. } => interval,
            Self::Nomad(_) => interval.max(NOMAD_AT_MOST),
        }
    }
}
