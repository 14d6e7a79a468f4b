//! The hands on the runtime API: commands, and looks at the worker in force.
//!
//! In: a [`Tell`]. Out: an [`Answer`], or why there is none, in words. What weir is about to begin is on the disk
//! before the first command is sent, so that after a crash it is not taken for a person's doing.

use std::path::PathBuf;
use std::sync::Arc;

use weir_haproxy::{Haproxy, Look, list, load_order};
use weir_pools::plan::Step;

use super::Hands;
use super::live::Begun;
use super::observation::{ConfigFile, Observation};
use crate::chain::chain;

/// What to say to HAProxy, and what to look at after it.
#[derive(Debug, Clone)]
pub(crate) struct Tell {
    pub(crate) steps: Vec<Step>,
    pub(crate) look: Look,
    /// Whether to read HAProxy's files too: of a worker that is new to us they are what it loaded.
    pub(crate) read_files: bool,
    /// What the steps begin.
    pub(crate) begun: Option<Begun>,
}

/// What HAProxy said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// To each step, in order.
    pub(crate) replies: Vec<String>,
    pub(crate) observation: Observation,
}

impl Hands {
    /// Carries the steps out and looks.
    pub(crate) async fn tell(&self, tell: &Tell) -> Result<Answer, String> {
        let haproxy = self.haproxy.as_ref().ok_or("no HAProxy is configured")?;
        let stats = haproxy.stats().ok_or("no `stats_socket` is configured")?;
        if let Some(begun) = &tell.begun {
            self.state
                .begin(begun)
                .map_err(|error| format!("the state directory cannot be written: {error}"))?;
        }
        // Before the look: what is written meanwhile differs in servers only, and those are looked at.
        let files = if tell.read_files { Some(self.loaded_files(haproxy).await?) } else { None };
        let commands: Vec<String> = tell.steps.iter().map(|step| step.command.clone()).collect();
        let told = stats.tell(&commands, &tell.look).await.map_err(|error| chain(&error))?;
        let observation = Observation::of(&told, tell.look.clone(), files);
        Ok(Answer { replies: told.replies, observation })
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

fn read(path: PathBuf, outputs: &[PathBuf]) -> Result<ConfigFile, String> {
    let problem = |error| format!("{}: cannot be read: {error}", path.display());
    let text: Arc<str> = std::fs::read_to_string(&path).map_err(problem)?.into();
    let modified = std::fs::metadata(&path).and_then(|found| found.modified()).map_err(problem)?;
    let is_same =
        |output: &PathBuf| *output == path || output.canonicalize().ok() == path.canonicalize().ok();
    let output = outputs.iter().position(is_same);
    Ok(ConfigFile { path, output, text, modified })
}
