//! Waits for events, hands them to a [`ScaleLoop`], and carries its effects out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_consul::Leadership;
use weir_nomad::policies::Policies;
use weir_nomad::{Client, Error};
use weir_pools::Catalogue;

use super::{Effect, Event, JobKey, Look, ScaleLoop};
use crate::journal::Journal;
use crate::metric_sources::Sources;
use crate::peers::Balancers;
use crate::status::ScalingStatus;

/// Outcomes that may wait for the loop: two per job at most, and hundreds of jobs.
const WAITING: usize = 256;
/// How often the samples are gathered.
const PERIOD: Duration = Duration::from_secs(1);

/// What the scale loop listens to.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) client: Client,
    pub(crate) policies: watch::Receiver<Arc<Policies>>,
    /// Why Nomad does not answer a probe, where it does not.
    pub(crate) hung: watch::Receiver<Option<String>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) catalogue: watch::Receiver<Arc<Catalogue>>,
    /// All HAProxys of the cluster.
    pub(crate) balancers: Balancers,
    pub(crate) sources: Sources,
    pub(crate) journal: Journal,
    pub(crate) report: watch::Sender<ScalingStatus>,
}

/// Scales until cancelled.
pub(crate) async fn run(mut inputs: Inputs, cancel: CancellationToken) {
    let mut scale_loop = ScaleLoop::default();
    let (outcomes, mut queue) = mpsc::channel(WAITING);
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            Some(event) = queue.recv() => event,
            Ok(()) = inputs.policies.changed() => Event::Policies(inputs.policies.borrow_and_update().clone()),
            Ok(()) = inputs.hung.changed() => Event::Hung(inputs.hung.borrow_and_update().clone()),
            Ok(()) = inputs.leadership.changed() => Event::Leadership(inputs.leadership.borrow_and_update().clone()),
            Ok(()) = inputs.catalogue.changed() => Event::Catalogue(inputs.catalogue.borrow_and_update().clone()),
            _ = ticks.tick() => {
                let reading = inputs.balancers.read(SystemTime::now());
                scale_loop.note_role_change(inputs.balancers.role_changed());
                Event::Sampled(reading)
            }
        };
        let now = Instant::now();
        for effect in scale_loop.handle(now, SystemTime::now(), event) {
            carry_out(&inputs, effect, &outcomes);
        }
        inputs.report.send_replace(scale_loop.report(now));
    }
}

fn carry_out(inputs: &Inputs, effect: Effect, outcomes: &mpsc::Sender<Event>) {
    let (client, outcomes) = (inputs.client.clone(), outcomes.clone());
    match effect {
        Effect::Record(record) => inputs.journal.record(record),
        Effect::Look(job) => drop(tokio::spawn(async move {
            let look = look(&client, &job).await;
            // The loop is gone only when the daemon ends.
            let _ = outcomes.send(Event::Looked { job, look }).await;
        })),
        Effect::Ask(question) => {
            let sources = inputs.sources.clone();
            drop(tokio::spawn(async move {
                let answer = sources.ask(&question).await;
                let _ = outcomes.send(Event::Answered { question, answer }).await;
            }));
        }
        Effect::Scale { policy, request, from } => drop(tokio::spawn(async move {
            let result = client.scale(&request).await.map(drop);
            let _ = outcomes.send(Event::Scaled { policy, request, from, result }).await;
        })),
    }
}

/// Reads a job. The index is read first: what changes during the reading fails the fence.
async fn look(client: &Client, key: &JobKey) -> Result<Look, Error> {
    let job = client.job(&key.namespace, &key.id).await?;
    let scale = client.job_scale(&key.namespace, &key.id).await?;
    let allocations = client.allocations(&key.namespace, &key.id).await?;
    Ok(Look { job, scale, allocations })
}
