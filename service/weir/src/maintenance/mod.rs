//! Maintenance, asked for on the control socket: `weir drain`, `weir maint` and `weir ready`.
//!
//! In: what a person asks of a server. It is written to Consul, so that it holds on every load balancer, and then this
//! one is looked at until it is in force here. Out: what a person should know. Fails, and says so, where the server is
//! not known, where Consul does not take it, and where HAProxy does not show it in time.

mod known;
mod seen;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use weir_pools::intents::{Intent, Wish};

use crate::intents::{Asked, Book, Known, Noted, words};
use crate::pool_loop::{Event, Handle, Report};
use seen::Seen;

/// How long Consul may take.
const CONSUL: Duration = Duration::from_secs(10);
/// How long this load balancer may take. HAProxy is looked at once a second.
const HERE: Duration = Duration::from_secs(5);

/// A server as a person names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) backend: String,
    /// Its name in HAProxy, or its `ADDRESS:PORT`.
    pub(crate) server: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}

/// One HAProxy.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) report: watch::Receiver<Report>,
}

impl From<&Handle> for Loop {
    fn from(handle: &Handle) -> Self {
        Self { events: handle.events.clone(), report: handle.report.clone() }
    }
}

/// What maintenance needs.
#[derive(Debug, Clone)]
pub(crate) struct Maintenance {
    pub(crate) book: Book,
    pub(crate) intents: watch::Receiver<Arc<Known>>,
    pub(crate) loops: Vec<Loop>,
    /// The configurations that weir writes: what they name is known while HAProxy does not run too.
    pub(crate) files: Vec<PathBuf>,
}

impl Maintenance {
    /// Something is wished of a server.
    pub(crate) async fn intend(&self, target: &Target, asked: &Asked) -> anyhow::Result<String> {
        let target = known::find(target, &self.servers().await)?;
        let noted = within(CONSUL, self.book.note(&target.backend, &target.server, asked)).await;
        let noted = noted.map_err(|error| not_written(&target, Some(asked.wish), &error))?;
        let stronger = self.stronger(&target, asked);
        let said = said_noted(&target, &noted, stronger.as_ref());
        let wish = stronger.map_or(asked.wish, |counts| counts.wish);
        match seen::taken_out(&self.loops, &target, wish, HERE).await {
            Seen::Yes { sessions } => Ok(format!("{said}\nin force here, {}; {OTHERS}", left(sessions))),
            Seen::NotShown => Ok(format!("{said}\n{NOT_SHOWN}; it is in force as soon as it does; {OTHERS}")),
            Seen::No { state } => bail!("{said}\nnoted in Consul, but {}", still(&target, state)),
            Seen::Untold { haproxy } => {
                bail!("{said}\nnoted in Consul, but {}; {OTHERS}", untold(&haproxy, &target, Some(wish)))
            }
        }
    }

    /// A server is to be ready, whoever wished something else.
    pub(crate) async fn ready(&self, target: &Target) -> anyhow::Result<String> {
        let mut servers = self.servers().await;
        let wished = self.intents.borrow().in_force.clone();
        servers.extend(wished.iter().map(|(backend, name, _)| known::Server::named(backend, name)));
        let target = known::find(target, &servers)?;
        let ended = within(CONSUL, self.book.strike(&target.backend, &target.server)).await;
        let ended = ended.map_err(|error| not_written(&target, None, &error))?;
        let said = format!("{target}: {}", ended_words(&ended));
        self.forgotten(&target).await?;
        self.set_ready(&target).await.map_err(|error| anyhow!("{said}\n{error:#}"))?;
        match seen::back(&self.loops, &target, HERE).await {
            Seen::Yes { .. } => Ok(format!("{said}\nnot taken out here; {OTHERS}")),
            Seen::NotShown => Ok(format!("{said}\n{NOT_SHOWN}; {OTHERS}")),
            Seen::No { state } => bail!("{said}\nbut {}", still(&target, state)),
            Seen::Untold { haproxy } => bail!("{said}\nbut {}; {OTHERS}", untold(&haproxy, &target, None)),
        }
    }

    async fn servers(&self) -> Vec<known::Server> {
        let files = self.files.clone();
        let written = tokio::task::spawn_blocking(move || known::in_files(&files)).await.unwrap_or_default();
        let reports = self.loops.iter().flat_map(|one| known::in_report(&one.report.borrow()));
        written.into_iter().chain(reports).collect()
    }

    /// What somebody else wishes of the server that counts more.
    fn stronger(&self, target: &Target, asked: &Asked) -> Option<Intent> {
        let known = self.intents.borrow();
        let others = known.in_force.of(&target.backend, &target.server);
        let stronger = others.filter(|other| other.owner != asked.owner && other.wish > asked.wish);
        stronger.max_by_key(|other| other.wish).cloned()
    }

    /// Waits until the intents that were ended are seen to be gone, and tells the loops.
    async fn forgotten(&self, target: &Target) -> anyhow::Result<()> {
        let none = |known: &Arc<Known>| known.in_force.of(&target.backend, &target.server).next().is_none();
        let known = match timeout(HERE, self.intents.clone().wait_for(none)).await {
            Ok(known) => known.context("weir is ending")?.in_force.clone(),
            Err(_) => {
                bail!("{target}: taken back in Consul, but weir has not seen that after {HERE:?}; try again")
            }
        };
        for one in &self.loops {
            one.events.send(Event::Intents(known.clone())).await.context("weir is ending")?;
        }
        Ok(())
    }

    /// Asks each HAProxy that has the server to set it ready, if a person had taken it out by hand.
    async fn set_ready(&self, target: &Target) -> anyhow::Result<()> {
        let deadline = Instant::now() + HERE;
        for one in self.loops.iter().filter(|one| seen::has(&one.report.borrow(), target)) {
            let (reply, answer) = oneshot::channel();
            let (backend, server) = (target.backend.clone(), target.server.clone());
            one.events.send(Event::Ready { backend, server, reply }).await.context("weir is ending")?;
            let answer = timeout_at(deadline, answer).await;
            let answer =
                answer.with_context(|| format!("weir was busy for {HERE:?}; look with `weir servers`"))?;
            answer.context("weir is ending")?.map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

const OTHERS: &str = "the other load balancers follow";
const NOT_SHOWN: &str = "HAProxy here does not show the server, or does not run";

async fn within<T>(time: Duration, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let late = || format!("no answer within {time:?}; it may have been taken: look with `weir servers`");
    timeout(time, work).await.with_context(late)?
}

/// What is said where Consul took no note, and how this load balancer alone is helped meanwhile.
fn not_written(target: &Target, wish: Option<Wish>, error: &anyhow::Error) -> anyhow::Error {
    let command = by_hand(target, wish);
    anyhow!(
        "{target}: not noted in Consul, so nothing is changed: {error:#}\nfor this load balancer alone, on HAProxy's \
         stats socket: {command}"
    )
}

/// What a person can say to HAProxy.
fn by_hand(target: &Target, wish: Option<Wish>) -> String {
    let state = match wish {
        Some(Wish::Drain) => "drain",
        Some(Wish::Maint) => "maint",
        Some(Wish::Wake) | None => "ready",
    };
    format!("set server {target} state {state}")
}

fn untold(haproxy: &str, target: &Target, wish: Option<Wish>) -> String {
    let name = if haproxy.is_empty() { "HAProxy here".to_owned() } else { format!("HAProxy {haproxy} here") };
    let command = by_hand(target, wish);
    format!(
        "{name} cannot be told: set `stats_socket` in its block `haproxy` and start weir again, or say on a stats socket \
         of its own: {command}"
    )
}

fn still(target: &Target, state: &str) -> String {
    let backend = &target.backend;
    format!(
        "after {HERE:?} HAProxy here shows the server {state}; `weir servers {backend}` and weir's log say more"
    )
}

fn left(sessions: u64) -> String {
    if sessions == 1 { "1 session left".into() } else { format!("{sessions} sessions left") }
}

fn said_noted(target: &Target, noted: &Noted, stronger: Option<&Intent>) -> String {
    let now = Timestamp::now();
    let again = if noted.again { " (as before)" } else { "" };
    let counts = |intent| format!("\nstronger, and what counts: {}", words(intent, now));
    format!("{target}: {}{again}{}", words(&noted.intent, now), stronger.map_or(String::new(), counts))
}

fn ended_words(ended: &[Intent]) -> String {
    let now = Timestamp::now();
    let ended: Vec<String> = ended.iter().map(|intent| words(intent, now)).collect();
    if ended.is_empty() {
        "no intent stood against it".into()
    } else {
        format!("ended: {}", ended.join("; "))
    }
}
