//! Waits for events, hands them to a [`ScaleLoop`], and carries its effects out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_consul::Leadership;
use weir_nomad::policies::Policies;
use weir_nomad::{Client, Error, Notice, ScaleOutcome};
use weir_pools::Catalogue;

use super::{Asked, Effect, Event, JobKey, Look, Noting, Plan, Room, ScaleLoop, Striking};
use crate::chain::chain;
use crate::intents::{self, Book, Known};
use crate::journal::Journal;
use crate::metric_sources::Sources;
use crate::peers::Balancers;
use crate::status::ScalingStatus;

/// Outcomes that may wait for the loop: two per job at most, and hundreds of jobs.
const WAITING: usize = 256;
/// How long Consul may take for the intents of one drain.
const CONSUL: Duration = Duration::from_secs(10);
/// How long after a look at the own HAProxy the next one is overdue; what others show is taken without it.
const OVERDUE: Duration = Duration::from_millis(1500);

/// What the scale loop listens to.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) client: Client,
    pub(crate) policies: watch::Receiver<Arc<Policies>>,
    /// Why Nomad does not answer a probe, where it does not.
    pub(crate) hung: watch::Receiver<Option<String>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) catalogue: watch::Receiver<Arc<Catalogue>>,
    pub(crate) intents: watch::Receiver<Arc<Known>>,
    /// Where intents are written.
    pub(crate) book: Book,
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
    let mut overdue = tokio::time::interval(OVERDUE);
    overdue.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    inputs.intents.mark_changed();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            Some(event) = queue.recv() => event,
            Ok(()) = inputs.policies.changed() => Event::Policies(newest(&mut inputs.policies)),
            Ok(()) = inputs.hung.changed() => Event::Hung(newest(&mut inputs.hung)),
            Ok(()) = inputs.leadership.changed() => Event::Leadership(newest(&mut inputs.leadership)),
            Ok(()) = inputs.catalogue.changed() => Event::Catalogue(newest(&mut inputs.catalogue)),
            Ok(()) = inputs.intents.changed() => {
                Event::Intents(newest(&mut inputs.intents).in_force.clone())
            }
            () = inputs.balancers.looked() => {
                overdue.reset();
                sampled(&mut scale_loop, &mut inputs.balancers)
            }
            _ = overdue.tick() => sampled(&mut scale_loop, &mut inputs.balancers),
        };
        let now = Instant::now();
        for effect in scale_loop.handle(now, SystemTime::now(), event) {
            carry_out(&inputs, effect, &outcomes);
        }
        inputs.report.send_replace(scale_loop.report(now));
    }
}

fn sampled(scale_loop: &mut ScaleLoop, balancers: &mut Balancers) -> Event {
    let reading = balancers.read(SystemTime::now());
    scale_loop.note_role_change(balancers.role_changed());
    scale_loop.note_holders(balancers.holders());
    Event::Sampled(reading)
}

fn newest<T: Clone>(receiver: &mut watch::Receiver<T>) -> T {
    receiver.borrow_and_update().clone()
}

/// The loop is gone only when the daemon ends: an outcome that nobody takes is dropped.
fn carry_out(inputs: &Inputs, effect: Effect, outcomes: &mpsc::Sender<Event>) {
    let (client, book, outcomes) = (inputs.client.clone(), inputs.book.clone(), outcomes.clone());
    match effect {
        Effect::Record(record) => inputs.journal.record(record),
        Effect::Notify(notice) => drop(tokio::spawn(async move { notify(&client, &notice).await })),
        Effect::Strike(striking) => drop(tokio::spawn(async move { strike(&book, &striking).await })),
        Effect::Look { job, plan } => drop(tokio::spawn(async move {
            let look = Box::new(look(&client, &job, plan).await);
            let _ = outcomes.send(Event::Looked { job, look }).await;
        })),
        Effect::Ask(question) => {
            let sources = inputs.sources.clone();
            drop(tokio::spawn(async move {
                let answer = sources.ask(&question).await;
                let _ = outcomes.send(Event::Answered { question, answer }).await;
            }));
        }
        Effect::Scale(asked) => drop(tokio::spawn(async move {
            let result = scale(&client, &asked).await;
            let _ = outcomes.send(Event::Scaled { asked, result }).await;
        })),
        Effect::Note(noting) => drop(tokio::spawn(async move {
            let result = note(&book, &noting).await;
            let _ = outcomes.send(Event::Noted { noting, result }).await;
        })),
    }
}

async fn notify(client: &Client, notice: &Notice) {
    if let Err(error) = client.notify(notice).await {
        tracing::debug!("not shown on the page of job {}: {}", notice.job, chain(&error));
    }
}

async fn strike(book: &Book, striking: &Striking) {
    let servers = striking.servers.iter().map(|server| (server.backend.as_str(), server.name.as_str()));
    if let Err(error) = book.take_back(&striking.owner, servers.collect()).await {
        tracing::warn!("drains by {} are not taken back yet: {error:#}", striking.owner);
    }
}

async fn scale(client: &Client, asked: &Asked) -> Result<ScaleOutcome, Error> {
    if asked.supersede { client.supersede(&asked.request).await } else { client.scale(&asked.request).await }
}

/// Writes the intents of a drain; the error says what that means.
async fn note(book: &Book, noting: &Noting) -> Result<(), String> {
    let asked = intents::Asked {
        wish: noting.wish,
        owner: noting.owner.clone(),
        lasting: noting.lasting,
        reason: Some(noting.reason.clone()),
    };
    let writing = async {
        for server in &noting.servers {
            book.note(&server.backend, &server.name, &asked).await?;
        }
        anyhow::Ok(())
    };
    let written = tokio::time::timeout(CONSUL, writing).await;
    let written = written.unwrap_or_else(|_| Err(anyhow::anyhow!("Consul did not answer within {CONSUL:?}")));
    written.map_err(|error| format!("servers cannot be drained, so nothing is taken away: {error:#}"))
}

/// Reads a job. The index is read first: what changes during the reading fails the fence.
async fn look(client: &Client, key: &JobKey, plan: Option<Plan>) -> Result<Look, Error> {
    let JobKey { namespace, id } = key;
    let job = client.job(namespace, id).await?;
    let (scale, allocations, deployment) = tokio::try_join!(
        client.job_scale(namespace, id),
        client.allocations(namespace, id),
        client.deployment(namespace, id)
    )?;
    let room = match plan {
        Some(plan) => Some(room(client, key, plan).await),
        None => None,
    };
    Ok(Look { job, scale, allocations, deployment, room })
}

/// How many of the planned instances find room. Where Nomad does not tell, the count is asked for all the same.
async fn room(client: &Client, key: &JobKey, plan: Plan) -> Room {
    let found = client.placeable(&key.namespace, &key.id, &plan.group, plan.count).await;
    let finds = found.unwrap_or_else(|error| {
        tracing::debug!("no plan of job {}: {}", key.id, chain(&error));
        plan.count
    });
    Room { plan, finds }
}
