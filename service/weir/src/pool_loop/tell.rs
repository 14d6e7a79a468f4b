//! The hands on the runtime API: commands, and looks at the worker in force.
//!
//! In: a [`Tell`]. Out: [who was reached](Heard) and what it answered, or why there is no answer, in words. What weir is about to begin is
//! on the disk before the first command is sent, so that after a crash it is not taken for a person's doing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_haproxy::{Haproxy, Look, Reached, StatsSocket, capabilities, list, load_order};
use weir_pools::plan::Step;
use weir_scaling::Process;

use super::Hands;
use super::live::Begun;
use super::observation::{ConfigFile, Newcomer, Observation};
use super::script::Script;
use crate::chain::chain;

/// What to say to HAProxy, and what to look at after it.
#[derive(Debug, Clone)]
pub(crate) struct Tell {
    /// The process that the steps were planned for; without one it is only looked.
    pub(crate) worker: Option<Process>,
    pub(crate) steps: Vec<Step>,
    pub(crate) look: Look,
    /// Whether to read what there is to know once of a worker that is new to us: HAProxy's files are what it loaded.
    pub(crate) is_new: bool,
    /// What the steps begin.
    pub(crate) begun: Option<Box<Begun>>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// HAProxy carried the steps out, or refused some.
    Answer(Box<Answer>),
    /// The worker of this process ID answers, for which the steps were not planned. It was told nothing.
    AnotherWorker(u32),
}

/// What HAProxy said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// To each step, in order; none to a conditional one that was not sent.
    pub(crate) replies: Vec<Option<String>>,
    pub(crate) observation: Observation,
}

impl Hands {
    /// Carries the steps out and looks.
    pub(crate) async fn tell(&self, tell: &Tell) -> Result<Heard, String> {
        let Some(worker) = tell.worker else {
            let observation = self.look(&tell.look, tell.is_new).await?;
            return Ok(Heard::Answer(Box::new(Answer { replies: Vec::new(), observation })));
        };
        let (_, stats) = self.sockets()?;
        if let Some(begun) = &tell.begun {
            self.state
                .begin(begun)
                .map_err(|error| format!("the state directory cannot be written: {error}"))?;
        }
        let script = Script::of(&tell.steps);
        let reached = self.line.converse(&stats, &script, worker, &tell.look).await;
        Ok(heard(&script, reached.map_err(|error| chain(&error))?, tell.look.clone()))
    }

    /// Nothing more is to be said at once.
    pub(crate) fn hang_up(&self) {
        self.line.hang_up();
    }

    /// Looks at the worker in force, whichever it is.
    pub(super) async fn look(&self, look: &Look, is_new: bool) -> Result<Observation, String> {
        let (haproxy, stats) = self.sockets()?;
        // Before the look: what is written meanwhile differs in servers only, and those are looked at.
        // Boxed: it is large, happens once, and would be moved about with everything that is said.
        let newcomer = if is_new { Some(Box::pin(self.newcomer(haproxy)).await?) } else { None };
        let (line, told) = stats.look(look).await.map_err(|error| chain(&error))?;
        self.line.keep(line);
        Ok(Observation::of(&told, look.clone(), newcomer))
    }

    fn sockets(&self) -> Result<(&Haproxy, StatsSocket), String> {
        let haproxy = self.haproxy.as_ref().ok_or("no HAProxy is configured")?;
        let stats = haproxy.stats().ok_or("no `stats_socket` is configured")?;
        Ok((haproxy, stats))
    }

    async fn newcomer(&self, haproxy: &Haproxy) -> Result<Newcomer, String> {
        let files = self.loaded_files(haproxy).await?;
        let capabilities = capabilities(haproxy).await.map_err(|error| chain(&error))?;
        let base = haproxy.working_directory.clone().unwrap_or_default();
        let started_with = capabilities
            .config_files
            .map(|files| files.iter().map(|file| behind_links(&base.join(file))).collect());
        Ok(Newcomer { files, level: capabilities.level, started_with })
    }

    /// HAProxy's files as they lie on the disk, in load order.
    async fn loaded_files(&self, haproxy: &Haproxy) -> Result<Vec<ConfigFile>, String> {
        let base = haproxy.working_directory.clone().unwrap_or_default();
        let config: Vec<PathBuf> = haproxy.config.iter().map(|path| base.join(path)).collect();
        let outputs: Vec<PathBuf> = self.files.iter().map(|file| file.template.destination.clone()).collect();
        let read = tokio::task::spawn_blocking(move || {
            let listings = list(&config).map_err(|error| chain(&error))?;
            let files = load_order(&listings, &[]).files;
            files.into_iter().map(|file| read(file.path, &outputs)).collect()
        });
        read.await.map_err(|error| format!("reading was cut off: {error}"))?
    }
}

fn heard(script: &Script<'_>, reached: Reached, look: Look) -> Heard {
    match reached {
        Reached::Meant(told) => {
            let observation = Observation::of(&told, look, None);
            Heard::Answer(Box::new(Answer { replies: script.replies(told.replies), observation }))
        }
        Reached::Another(info) => Heard::AnotherWorker(info.pid),
    }
}

fn read(path: PathBuf, outputs: &[PathBuf]) -> Result<ConfigFile, String> {
    let problem = |error| format!("{}: cannot be read: {error}", path.display());
    let text: Arc<str> = std::fs::read_to_string(&path).map_err(problem)?.into();
    let modified = std::fs::metadata(&path).and_then(|found| found.modified()).map_err(problem)?;
    let real = behind_links(&path);
    let output = outputs.iter().position(|output| *output == path || behind_links(output) == real);
    Ok(ConfigFile { path, real, output, text, modified })
}

/// The file itself; the path as it is where there is nothing.
fn behind_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
