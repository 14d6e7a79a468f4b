//! The scaler's state as the status shows it.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use weir_consul::Leadership;
use weir_nomad::policies::Reach;

use super::drain::{Drain, Left, Stage, Victim};
use super::job::KnownJob;
use super::scale::LastScale;
use super::{ScaleLoop, Tracked};
use crate::status::{
    DrainStatus, LeaderStatus, NomadStatus, PolicyStatus, ScaleStatus, ScalingStatus, VictimStatus,
};

impl ScaleLoop {
    /// The state as it is now.
    pub(crate) fn report(&self, now: Instant) -> ScalingStatus {
        ScalingStatus {
            leader: self.leader(now),
            nomad: nomad(&self.reach),
            policies: self.policies.values().map(|tracked| self.policy(now, tracked)).collect(),
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

impl ScaleLoop {
    fn policy(&self, now: Instant, tracked: &Tracked) -> PolicyStatus {
        let (raw, tally) = (&tracked.raw, &tracked.tally);
        let decision = tracked.last.as_ref();
        let job = self.job_of(raw);
        let read = job.and_then(|job| job.looked_at);
        PolicyStatus {
            id: raw.id.clone(),
            namespace: raw.namespace.clone(),
            job: raw.job.clone(),
            group: raw.group.clone(),
            min: raw.min,
            max: raw.max,
            problems: tracked.problems.clone(),
            last_good: tracked.is_last_good(),
            last_decision: decision.and_then(|decision| serde_json::to_value(decision).ok()),
            decided: decision.and_then(|decision| timestamp(decision.at)),
            sampled: self.servers.as_ref().and_then(|servers| timestamp(servers.at)),
            read: read.and_then(timestamp),
            drain: tracked.drain.as_ref().map(|drain| status(now, drain)),
            trouble: tracked.trouble.clone(),
            deployment: job.and_then(KnownJob::deployment_words),
            last_scale: tracked.last_scale.as_ref().and_then(scale),
            decisions: tally.decisions.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect(),
            blocked_seconds: tally.blocked.as_secs_f64(),
            start_seconds: tracked.start.map(|start| start.as_secs_f64()),
        }
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

fn scale(last: &LastScale) -> Option<ScaleStatus> {
    let LastScale { from, to, error, .. } = last.clone();
    Some(ScaleStatus { at: timestamp(last.at)?, from, to, error })
}

fn status(now: Instant, drain: &Drain) -> DrainStatus {
    let (stage, words, deadline) = match drain.stage {
        Stage::Preparing { .. } => {
            ("preparing", "the load balancers prepare to hold what comes at zero", None)
        }
        Stage::Noting => ("noting", "the intents are being written to Consul", None),
        Stage::Waiting { deadline } => ("waiting", "their sessions are waited for", Some(deadline)),
        Stage::Asked { .. } => ("asked", "Nomad was asked to stop them", None),
        Stage::Stopping { .. } => ("stopping", "Nomad stops them", None),
    };
    DrainStatus {
        to: drain.target,
        stage: stage.to_owned(),
        words: words.to_owned(),
        seconds_left: deadline.map(|deadline| deadline.saturating_duration_since(now).as_secs_f64()),
        instances: drain.victims.iter().map(|(id, victim)| instance(id, victim)).collect(),
    }
}

fn instance(id: &str, victim: &Victim) -> VictimStatus {
    let Left { sessions, takes_more, unknown } = victim.left;
    let words = match sessions {
        _ if unknown => "what it still does is not known".to_owned(),
        _ if takes_more => "HAProxy still gives it new sessions".to_owned(),
        1 => "1 session left".to_owned(),
        _ => format!("{sessions} sessions left"),
    };
    VictimStatus {
        index: victim.index,
        allocation: id.to_owned(),
        servers: victim.servers.iter().map(|server| format!("{}/{}", server.backend, server.name)).collect(),
        sessions,
        words,
    }
}
