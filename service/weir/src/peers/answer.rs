//! What one weir says of its HAProxys to the others, as JSON.
//!
//! Moments are told as ages: the clocks of two nodes need not agree.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use weir_haproxy::Completeness;
use weir_scaling::Sample;

use crate::sampler::{Absent, Taken};
use crate::wake::{Holds, Wake};

/// All HAProxys of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Who has another one is none of ours.
    pub(crate) cluster: String,
    /// How people call the node.
    pub(crate) node: String,
    pub(crate) haproxies: Vec<Balancer>,
}

/// One HAProxy, as its weir saw it last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balancer {
    /// Empty for the one without a label.
    pub(crate) name: String,
    /// How long ago that was, in milliseconds.
    pub(crate) age_ms: u64,
    #[serde(flatten)]
    pub(crate) state: State,
    /// What is held for its pools at zero; nothing where its weir holds no requests.
    #[serde(default)]
    pub(crate) holds: Option<Holds>,
}

/// What its weir saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// It answered.
    Read {
        /// One for each process that did.
        samples: Vec<Sample>,
        /// Why some did not.
        missed: Option<String>,
    },
    /// It does not run: it has no sessions, and takes none.
    Stopped,
    /// It cannot be asked.
    Unknown { reason: String },
}

/// The HAProxys of this node, each with what was read of it last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    pub(crate) samples: Vec<(String, watch::Receiver<Option<Taken>>)>,
    /// What holds requests, where that is configured.
    pub(crate) wake: Option<Wake>,
}

impl Own {
    /// Waits for the next look at the first of them; for ever where there is none, or no more.
    pub(crate) async fn looked(&mut self) {
        if let Some((_, taken)) = self.samples.first_mut()
            && taken.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// What is known of them now.
    pub(crate) fn balancers(&self) -> Vec<Balancer> {
        let holds = |name: &str| self.wake.as_ref().map(|wake| wake.said(name));
        let all = self.samples.iter();
        all.map(|(name, taken)| balancer(name, taken.borrow().as_ref(), holds(name))).collect()
    }
}

fn balancer(name: &str, taken: Option<&Taken>, holds: Option<Holds>) -> Balancer {
    let age = taken.map_or(Duration::ZERO, |taken| taken.at.elapsed());
    let state = match taken.map(|taken| &taken.reading) {
        None => State::Unknown { reason: "it was not read yet".to_owned() },
        Some(Err(Absent::Stopped)) => State::Stopped,
        Some(Err(Absent::Unknown(reason))) => State::Unknown { reason: reason.clone() },
        Some(Ok(reading)) => read(reading),
    };
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Balancer { name: name.to_owned(), age_ms, state, holds }
}

fn read(reading: &Arc<weir_haproxy::Reading>) -> State {
    if reading.samples.is_empty() {
        return State::Unknown { reason: "none of its processes could be asked".to_owned() };
    }
    let missed = match &reading.completeness {
        Completeness::Missed { reason, .. } => Some(reason.clone()),
        Completeness::Complete | Completeness::OldWorkersUnknown { .. } => None,
    };
    State::Read { samples: reading.samples.clone(), missed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_understood() {
        let sample = crate::peers::tests::sample(7, 3, 1);
        let states = [
            State::Read { samples: vec![sample], missed: Some("worker 9".into()) },
            State::Stopped,
            State::Unknown { reason: "no answer".into() },
        ];
        let haproxies =
            states.into_iter().map(|state| Balancer { name: "edge".into(), age_ms: 300, state, holds: None });
        let said = Answer { cluster: "default".into(), node: "lb1".into(), haproxies: haproxies.collect() };
        let text = serde_json::to_string(&said).unwrap();
        assert!(text.contains("\"state\":\"stopped\"") && text.contains("\"age_ms\":300"), "{text}");
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), said);
    }
}
