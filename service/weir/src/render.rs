//! `weir render --once`: renders every template, writes the files, ends. With `--dry`, prints what would be written.
//!
//! Before HAProxy starts this makes its files true: after a long absence a port can belong to somebody else. HAProxy is
//! not reloaded; a running weir does that.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_consul::Health;
use weir_pools::{Catalogue, Query};

use crate::clients;
use crate::config::{Config, Environment};
use crate::interest;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::pool_loop::{self, Change, Effect, Event, Handle, Inbox, PoolLoop, Report};
use crate::sources;
use crate::state_lock;
use crate::status::TemplateState;
use crate::units::{Unit, units};

/// Answers from Consul.
struct Answers {
    catalogue: watch::Receiver<Arc<Catalogue>>,
    health: watch::Receiver<Arc<Health>>,
    wanted: watch::Sender<BTreeSet<Query>>,
    cancel: CancellationToken,
}

fn answers(config: &Config, environment: &Environment) -> anyhow::Result<Answers> {
    let consul = clients::consul(&config.consul, environment)?;
    let cancel = CancellationToken::new();
    let (wanted, queries) = watch::channel(BTreeSet::new());
    let (catalogue, health) = weir_consul::watch(consul, queries, cancel.clone());
    Ok(Answers { catalogue, health, wanted, cancel })
}

/// Renders to the files.
pub(crate) async fn once(config: &Config, environment: Environment, wait: Duration) -> anyhow::Result<()> {
    let _lock = state_lock::take(&config.state_dir)?;
    let answers = answers(config, &environment)?;
    let environment = Arc::new(environment);
    let journal = Journal::new(Arc::new(Metrics::new()?));
    let mut handles = Vec::new();
    for unit in units(config) {
        handles.push(start(config, &unit, &environment, &answers, &journal).await?);
    }
    let reads = handles.iter().map(|handle| handle.reads.clone()).collect();
    tokio::spawn(interest::unite(BTreeSet::new(), reads, answers.wanted, answers.cancel.clone()));
    let deadline = tokio::time::Instant::now() + wait;
    let mut problems = Vec::new();
    for handle in &mut handles {
        // Whether it settled or the time is over: the report says what is in force.
        let _ = tokio::time::timeout_at(deadline, handle.report.wait_for(settled)).await.is_ok();
        problems.extend(unsettled(&handle.report.borrow()));
    }
    answers.cancel.cancel();
    for handle in handles {
        handle.task.await.context("rendering")?;
    }
    finish(&problems, &answers.health.borrow(), wait)
}

async fn start(
    config: &Config,
    unit: &Unit,
    environment: &Arc<Environment>,
    answers: &Answers,
    journal: &Journal,
) -> anyhow::Result<Handle> {
    unit.clean_up();
    let state = unit.state(config)?;
    let kept = state.answers();
    let pool_loop = unit.pool_loop(environment.clone(), state.memory(), kept.kept());
    let (catalogue, cancel) = (answers.catalogue.clone(), answers.cancel.clone());
    let inbox = Inbox { catalogue, cancel, journal: journal.clone(), answers: kept };
    let handle = pool_loop::spawn(unit.name.clone(), pool_loop, unit.hands(state, false), inbox);
    for (index, template) in unit.templates.iter().enumerate() {
        let text = sources::read(&template.source);
        handle.events.send(Event::Source { index, text }).await.context("rendering")?;
    }
    Ok(handle)
}

/// Whether nothing more is to be waited for.
fn settled(report: &Report) -> bool {
    let refused = report.haproxy.last_change.as_ref().is_some_and(|change| change.error.is_some());
    let done = |state| matches!(state, TemplateState::InForce | TemplateState::Failed);
    refused
        || report.haproxy.held_back.is_some()
        || report.templates.iter().all(|template| done(template.state))
}

fn unsettled(report: &Report) -> Vec<String> {
    let refused = report.haproxy.last_change.as_ref().and_then(|change| change.error.clone());
    let held = report.haproxy.held_back.clone();
    let waiting = report.templates.iter().filter(|template| template.state != TemplateState::InForce);
    let each = waiting.map(|template| {
        let why = match (&template.error, template.waiting_for.as_slice()) {
            // It names the template itself.
            (Some(error), _) => return error.clone(),
            (None, []) => refused.clone().or_else(|| held.clone()).unwrap_or_else(|| "not rendered".into()),
            (None, waiting) => format!("waits for {}", waiting.join(", ")),
        };
        format!("{}: {why}", template.source)
    });
    each.collect()
}

/// Prints what would be written, as Consul Template does: `> PATH` and the text.
pub(crate) async fn dry(config: &Config, environment: Environment, wait: Duration) -> anyhow::Result<()> {
    let mut answers = answers(config, &environment)?;
    let environment = Arc::new(environment);
    let deadline = tokio::time::Instant::now() + wait;
    let mut problems = Vec::new();
    for unit in units(config) {
        let mut pool_loop = unit.fresh_loop(environment.clone());
        for (index, template) in unit.templates.iter().enumerate() {
            let text = sources::read(&template.source);
            pool_loop.handle(Instant::now(), Event::Source { index, text });
        }
        let change = first_change(&mut pool_loop, &mut answers, deadline).await;
        let report = pool_loop.report();
        match change {
            Some(change) => print(&unit, &change)?,
            None => problems.extend(unsettled(&report)),
        }
    }
    answers.cancel.cancel();
    finish(&problems, &answers.health.borrow(), wait)
}

/// The first change that a loop asks for, once everything that it reads is known.
async fn first_change(
    pool_loop: &mut PoolLoop,
    answers: &mut Answers,
    deadline: tokio::time::Instant,
) -> Option<Change> {
    loop {
        answers.wanted.send_replace(BTreeSet::clone(&pool_loop.reads()));
        let catalogue = answers.catalogue.borrow_and_update().clone();
        let effects = pool_loop.handle(Instant::now(), Event::Catalogue(catalogue));
        let change = effects.into_iter().find_map(|effect| match effect {
            Effect::Apply(change) => Some(change),
            _ => None,
        });
        let failed =
            pool_loop.report().templates.iter().any(|template| template.state == TemplateState::Failed);
        if change.is_some() || failed {
            return change;
        }
        tokio::time::timeout_at(deadline, answers.catalogue.changed()).await.ok()?.ok()?;
    }
}

fn print(unit: &Unit, change: &Change) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut files: Vec<_> = change.files.iter().collect();
    files.sort_by_key(|(index, _)| *index);
    for (index, text) in files {
        let destination =
            unit.templates.get(*index).map(|template| template.destination.display().to_string());
        writeln!(out, "> {}\n{text}", destination.unwrap_or_default())?;
    }
    Ok(())
}

fn finish(problems: &[String], health: &Health, wait: Duration) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let consul = health.error.as_ref().map_or(String::new(), |error| format!("\nConsul: {error}"));
    bail!("not everything could be rendered within {wait:?}:\n{}{consul}", problems.join("\n"))
}
