//! The hands of a pool loop: files, validation, reload.
//!
//! In: a [`Change`], or nothing but the wish to reload. Out: a [`Done`]. The order is fixed: candidates beside their
//! targets, `haproxy -c` over the whole load order with the candidates in place, the note that a reload is
//! due, the swap, the reload. Until the swap nothing that works was touched; after it every outcome is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use weir_haproxy::{
    Attributes, Candidate, Haproxy, Line, Look, Message, Reached, ReloadError, Verdict, WriteError, validate,
};
use weir_pools::places::OutputKind;
use weir_pools::plan::Step;

use super::observation::Observation;
use super::open_line::OpenLine;
use super::report::seconds_now;
use super::tell::Tell;
use super::{Begun, Change, Done, DoneResult, Memory, ReloadResult, StateDir};
use crate::chain::chain;
use crate::config;

/// What the hands need to know of one HAProxy and its files.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) haproxy: Option<Haproxy>,
    pub(crate) files: Vec<File>,
    pub(crate) state: StateDir,
    /// Whether HAProxy may be reloaded; `weir render --once` only writes.
    pub(crate) reload: bool,
    pub(crate) line: OpenLine,
}

/// One destination.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) template: config::Template,
    pub(crate) kind: OutputKind,
}

/// Why a change ended before the swap.
enum Stop {
    Refused { problem: String, lines: Vec<(PathBuf, usize)> },
    Failed(String),
}

impl From<Stop> for DoneResult {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused { problem, lines } => Self::Refused { problem, lines },
            Stop::Failed(problem) => Self::Failed(problem),
        }
    }
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Failed(chain(&error))
    }
}

impl Hands {
    /// Puts new texts in force.
    pub(crate) async fn apply(self: Arc<Self>, change: Change) -> Done {
        let begun = Instant::now();
        let result = match self.swap(&change, true).await {
            Ok(()) => DoneResult::Swapped(self.reload_if_loaded(change.restore).await),
            Err(stop) => stop.into(),
        };
        Done { result, took: begun.elapsed() }
    }

    /// Writes new texts that HAProxy runs already.
    pub(crate) async fn follow(self: Arc<Self>, change: Change) -> Done {
        let begun = Instant::now();
        let result = self.swap(&change, false).await.map_or_else(DoneResult::from, |()| DoneResult::Followed);
        Done { result, took: begun.elapsed() }
    }

    /// Says something to HAProxy, and looks at it.
    pub(crate) async fn say(self: Arc<Self>, tell: Tell) -> Done {
        let begun = Instant::now();
        let result = DoneResult::Told(self.tell(&tell).await);
        Done { result, took: begun.elapsed() }
    }

    /// Reloads with the files as they are.
    pub(crate) async fn reload(self: Arc<Self>, restore: Option<Vec<Step>>) -> Done {
        let begun = Instant::now();
        let result = DoneResult::Reloaded(self.reload_if_loaded(restore).await);
        Done { result, took: begun.elapsed() }
    }

    /// Keeps what was begun at HAProxy.
    pub(crate) fn begin(&self, begun: &Begun) {
        if let Err(error) = self.state.begin(begun) {
            tracing::error!("the state directory cannot be written, a restart will forget: {error}");
        }
    }

    /// Keeps what outlives the process. A failure is loud and not fatal: the files of HAProxy do not depend on it.
    pub(crate) fn remember(&self, memory: &Memory) {
        if let Err(error) = self.state.remember(memory) {
            tracing::error!("the state directory cannot be written, a restart will forget: {error}");
        }
    }

    /// HAProxy runs the files as they are.
    pub(crate) fn reload_done(&self) {
        if let Err(error) = self.state.reload_done() {
            tracing::error!(
                "the state directory cannot be written, a restart will reload once more: {error}"
            );
        }
    }

    async fn swap(self: &Arc<Self>, change: &Change, is_to_be_reloaded: bool) -> Result<(), Stop> {
        let candidates = self.candidates(change).await?;
        if let Some(haproxy) = &self.haproxy {
            let places: Vec<_> = candidates.iter().map(Candidate::substitution).collect();
            let verdict = validate(haproxy, &places).await.map_err(|error| Stop::Failed(chain(&error)))?;
            if let Verdict::Refused { messages, raw } = &verdict {
                let line = |message: &Message| Some((message.file.clone()?, message.line?));
                let lines = messages.iter().filter_map(line).collect();
                return Err(Stop::Refused { problem: self.refusal(messages, raw), lines });
            }
            if is_to_be_reloaded {
                self.state.reload_pending(seconds_now()).map_err(|error| {
                    Stop::Failed(format!("the state directory cannot be written: {error}"))
                })?;
            }
        }
        blocking(move || candidates.into_iter().try_for_each(Candidate::swap)).await?.map_err(Stop::from)
    }

    /// Writes the candidates. A list that was never there is put in place at once: HAProxy's check would miss it, and
    /// nothing uses it yet.
    async fn candidates(self: &Arc<Self>, change: &Change) -> Result<Vec<Candidate>, Stop> {
        let (hands, files) = (self.clone(), change.files.clone());
        blocking(move || {
            let mut candidates = Vec::new();
            for (index, text) in &files {
                let Some(file) = hands.files.get(*index) else { continue };
                let target = &file.template.destination;
                let Some(candidate) = Candidate::write(target, text.as_bytes(), &attributes(file))? else {
                    continue;
                };
                if file.kind != OutputKind::Haproxy && !target.exists() {
                    candidate.swap()?;
                } else {
                    candidates.push(candidate);
                }
            }
            Ok::<_, WriteError>(candidates)
        })
        .await?
        .map_err(Stop::from)
    }

    async fn reload_if_loaded(&self, restore: Option<Vec<Step>>) -> ReloadResult {
        let Some(haproxy) = &self.haproxy else { return ReloadResult::NotNeeded };
        if !self.reload {
            return ReloadResult::NotRunning;
        }
        let first = restore.iter().flatten().map(|step| step.command.clone()).collect::<Vec<_>>();
        let old = if restore.is_some() { self.open_line().await } else { None };
        match weir_haproxy::reload_and_tell(haproxy, &first).await {
            Ok(reloaded) => {
                let (left, observation) = match restore {
                    Some(_) => tokio::join!(left(old), self.acquaint()),
                    None => (None, None),
                };
                let pid = reloaded.process.map(|process| process.pid);
                ReloadResult::Ok { pid, took: reloaded.took, left, observation }
            }
            Err(ReloadError::NotRunning { .. }) => ReloadResult::NotRunning,
            Err(error) if error.is_before_it_began() => ReloadResult::NotBegun(chain(&error)),
            Err(error) => ReloadResult::Failed(chain(&error)),
        }
    }

    /// A line to the worker that is to go. It lives for as long as that is open.
    async fn open_line(&self) -> Option<Line> {
        self.haproxy.as_ref()?.stats()?.line().await.ok()
    }

    /// Asks for all that there is to know of a new worker.
    async fn acquaint(&self) -> Option<Box<Observation>> {
        Some(Box::new(self.look(&Look::All, true).await.ok()?))
    }

    /// HAProxy's words, with the template's name before those about its output.
    fn refusal(&self, messages: &[Message], raw: &str) -> String {
        let alerts = || messages.iter().filter(|message| message.severity == weir_haproxy::Severity::Alert);
        // What follows the alerts with a line only counts them.
        let located: Vec<String> =
            alerts().filter(|message| message.line.is_some()).map(|message| self.message(message)).collect();
        let lines = if located.is_empty() {
            alerts().map(|message| self.message(message)).collect()
        } else {
            located
        };
        let text = if lines.is_empty() { raw.trim().to_owned() } else { lines.join("; ") };
        format!("HAProxy refuses the configuration: {text}")
    }

    fn message(&self, message: &Message) -> String {
        let Some(path) = &message.file else { return message.text.clone() };
        let line = message.line.map_or(String::new(), |line| format!(":{line}"));
        let from = self.template_of(path).map_or(String::new(), |template| format!(" (from {template})"));
        // The text repeats the place: `config : parsing [FILE:LINE] : what is wrong`.
        let text = message.text.split_once("] : ").map_or(message.text.as_str(), |(_, text)| text);
        format!("{}{line}{from}: {text}", path.display())
    }

    fn template_of(&self, path: &Path) -> Option<String> {
        let file = self.files.iter().find(|file| file.template.destination == path)?;
        Some(file.template.name())
    }
}

/// The worker that is gone but for this line, as it was left.
async fn left(line: Option<Line>) -> Option<Box<Observation>> {
    let mut line = line?;
    let worker = line.info().process();
    match line.tell(worker, &[], &Look::All).await.ok()? {
        Reached::Meant(told) => Some(Box::new(Observation::of(&told, Look::All, None))),
        Reached::Another(_) => None,
    }
}

pub(super) fn attributes(file: &File) -> Attributes {
    let template = &file.template;
    Attributes { perms: template.perms, user: template.user.clone(), group: template.group.clone() }
}

/// Runs what blocks for some milliseconds (`fsync`) off the event loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("writing was cut off: {error}"))
}
