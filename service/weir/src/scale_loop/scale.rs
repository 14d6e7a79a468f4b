//! A scale: how it is asked for, and what comes of it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};
use weir_nomad::{Error, Notice, ScaleOutcome, ScaleRequest};
use weir_scaling::Decision;

use super::job::JobKey;
use super::policy::Tracked;
use super::{Effect, ScaleLoop};
use crate::chain::chain;
use crate::journal::{Record, ScaleResult};

/// How long after a refusal the same is asked again: a deployment takes seconds to minutes.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after any other failure.
const FAILED_AGAIN: Duration = Duration::from_secs(5);

/// A scale that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// The policy's ID.
    pub(crate) policy: String,
    pub(crate) request: ScaleRequest,
    /// The count before.
    pub(crate) from: u64,
    /// Whether weir's own deployment, which is under way, is to be superseded.
    pub(crate) supersede: bool,
}

/// What came of a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastScale {
    pub(crate) at: SystemTime,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Why it did not come about; nothing where it did.
    pub(crate) error: Option<String>,
}

impl ScaleLoop {
    /// Asks Nomad for a count, fenced with the index that the decision was made from.
    pub(super) fn ask(&mut self, now: Instant, id: &str, decision: &Decision, count: u64) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        tracked.in_flight = true;
        if decision.supersede {
            // By then what was asked for serves, and it can be seen whether it is enough.
            tracked.not_before = Some(now + tracked.start.unwrap_or(FAILED_AGAIN));
        }
        let asked = Asked {
            policy: id.to_owned(),
            request: to(count, request(decision)),
            from: decision.from,
            supersede: decision.supersede,
        };
        self.effects.push(Effect::Scale(Box::new(asked)));
    }

    /// Nomad answered.
    pub(super) fn scaled(
        &mut self,
        now: Instant,
        time: SystemTime,
        asked: &Asked,
        result: &Result<ScaleOutcome, Error>,
    ) {
        let Some(tracked) = self.policies.get_mut(&asked.policy) else { return };
        tracked.in_flight = false;
        if let Some(drain) = &mut tracked.drain {
            drain.scaled(now, result.is_ok());
        }
        let (from, to) = (asked.from, asked.request.count);
        tracked.last_scale =
            Some(LastScale { at: time, from, to, error: result.as_ref().err().map(|e| chain(e)) });
        let record = match result {
            Ok(_) => {
                tracked.refused = None;
                Some(accepted(asked))
            }
            Err(error) => refusal(now, tracked, asked, error),
        };
        self.effects.extend(record.map(Effect::Record));
        let job = JobKey::of(&tracked.raw);
        self.note_outcome(&job, asked, result);
        self.look(&job, None);
    }

    /// What was known of the job is out of date either way.
    fn note_outcome(&mut self, job: &JobKey, asked: &Asked, result: &Result<ScaleOutcome, Error>) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        known.outdate();
        match result {
            Ok(outcome) => {
                known.own = Some(outcome.job_modify_index);
                if asked.supersede {
                    // A registration leaves no scaling event of its own.
                    self.effects.push(Effect::Notify(notice(&asked.request)));
                }
            }
            Err(Error::Denied { .. }) if asked.supersede => known.may_not_register = true,
            Err(_) => {}
        }
    }
}

fn accepted(asked: &Asked) -> Record {
    let request = &asked.request;
    Record::Scaled {
        namespace: request.namespace.clone(),
        job: request.job.clone(),
        group: request.group.clone(),
        from: asked.from,
        to: request.count,
        reason: request.message.clone(),
    }
}

fn notice(request: &ScaleRequest) -> Notice {
    Notice {
        namespace: request.namespace.clone(),
        job: request.job.clone(),
        group: request.group.clone(),
        message: request.message.clone(),
        error: false,
    }
}

/// Takes note of a refusal. A state is recorded once, not each time it is met.
fn refusal(now: Instant, tracked: &mut Tracked, asked: &Asked, error: &Error) -> Option<Record> {
    let request = &asked.request;
    let (result, wait) = match error {
        Error::DeploymentActive { .. } => (ScaleResult::Blocked, ASK_AGAIN),
        Error::IndexConflict { .. } => (ScaleResult::Conflict, Duration::ZERO),
        _ => (ScaleResult::Failed, FAILED_AGAIN),
    };
    tracked.not_before = Some(now + wait);
    if tracked.refused.replace((request.count, result)) == Some((request.count, result)) {
        return None;
    }
    Some(Record::ScaleFailed {
        namespace: request.namespace.clone(),
        job: request.job.clone(),
        group: request.group.clone(),
        to: request.count,
        result,
        error: chain(error),
    })
}

/// The request for the count that was drained for, where the decision asks for still fewer.
fn to(count: u64, mut request: ScaleRequest) -> ScaleRequest {
    if request.count != count {
        request.message = format!("{}; at first to {count}, whose instances are drained", request.message);
        request.count = count;
    }
    request
}

pub(super) fn request(decision: &Decision) -> ScaleRequest {
    ScaleRequest {
        namespace: decision.namespace.clone(),
        job: decision.job.clone(),
        group: decision.group.clone(),
        count: decision.to,
        message: format!("weir: {}", decision.reason),
        meta: meta(decision),
        job_modify_index: decision.job_modify_index,
    }
}

/// What explains the decision to whoever looks at the job in Nomad.
fn meta(decision: &Decision) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("weir.policy_id".into(), decision.policy_id.clone().into());
    meta.insert("weir.from".into(), decision.from.into());
    meta.insert("weir.votes".into(), serde_json::to_value(&decision.votes).unwrap_or_default());
    meta.insert("weir.clamps".into(), serde_json::to_value(&decision.clamps).unwrap_or_default());
    meta
}
