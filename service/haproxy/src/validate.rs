//! `haproxy -c` on a whole configuration, with candidates in place of their targets.
//!
//! In: where HAProxy is, and what stands for what. Out: a [`Verdict`] with HAProxy's own words in the user's file
//! names. Fails when no verdict could be had: no such program, no right to read, too slow, killed.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::child::{Ended, run};
use crate::config::Haproxy;
use crate::load_order::{Listing, ListingError, Loaded, Substitution, list, load_order};
use crate::messages::{Message, Severity, in_the_users_names, messages};
use crate::surroundings::{Surroundings, SurroundingsError};

/// What HAProxy says about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It would start. Addresses that are in use are not found this way: `-c` does not bind.
    Accepted {
        /// What it warns of.
        warnings: Vec<Message>,
    },
    /// It would not start.
    Refused {
        /// What it said, in its order.
        messages: Vec<Message>,
        /// Everything it printed.
        raw: String,
    },
}

impl Verdict {
    /// Whether HAProxy would start with it.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// The message that says most of a refusal: the first alert with a line, or else the first alert.
    pub fn headline(&self) -> Option<&Message> {
        let Self::Refused { messages, .. } = self else { return None };
        let alerts = || messages.iter().filter(|message| message.severity == Severity::Alert);
        alerts().find(|message| message.line.is_some()).or_else(|| alerts().next()).or(messages.first())
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// The program is not there.
    #[error("{binary}: no such program: install HAProxy, or set `binary` in the haproxy block")]
    NoProgram {
        /// As it was configured.
        binary: PathBuf,
    },
    /// The program cannot be started.
    #[error(
        "{binary}: cannot be started (is its working directory there, and may weir run it as another user?)"
    )]
    NotStarted {
        /// As it was configured.
        binary: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time.
    #[error(
        "{binary} -c did not end within {after:?}: a host name that does not resolve takes long; raise `check_timeout`"
    )]
    TimedOut {
        /// As it was configured.
        binary: PathBuf,
        /// The time it had.
        after: Duration,
    },
    /// It crashed or was killed.
    #[error("{binary} -c was ended by signal {signal}")]
    Killed {
        /// As it was configured.
        binary: PathBuf,
        /// The number of the signal.
        signal: i32,
    },
    /// A directory of the configuration cannot be read.
    #[error(transparent)]
    NotListed(#[from] ListingError),
    /// What the check is to run with is not there.
    #[error(transparent)]
    Surroundings(#[from] SurroundingsError),
}

/// Has HAProxy check the configuration, with the substitutions in place.
pub async fn validate(haproxy: &Haproxy, substitutions: &[Substitution]) -> Result<Verdict, ValidateError> {
    let around = Surroundings::of(haproxy).await?;
    let mut files = load_order(&listing(haproxy).await?, substitutions).files;
    if around.directory.is_some() {
        // Ours start where weir runs.
        for file in &mut files {
            file.path = absolute(&file.path);
        }
    }
    let mut command = Command::new(program(haproxy));
    command.args(&haproxy.check_args).arg("-c");
    for file in &files {
        command.arg("-f").arg(&file.path);
    }
    if let Some(directory) = &haproxy.working_directory {
        command.current_dir(directory);
    }
    around.surround(&mut command);
    let ended =
        run(&mut command, haproxy.check_timeout).await.map_err(|source| not_started(haproxy, source))?;
    let binary = || haproxy.binary.clone();
    let ended =
        ended.ok_or_else(|| ValidateError::TimedOut { binary: binary(), after: haproxy.check_timeout })?;
    match ended.status.signal() {
        Some(signal) => Err(ValidateError::Killed { binary: binary(), signal }),
        None => Ok(verdict(&ended, &files)),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A bare name is looked up in `PATH`, anything else starts where weir runs.
fn program(haproxy: &Haproxy) -> PathBuf {
    let is_bare = haproxy.binary.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    if is_bare || haproxy.working_directory.is_some() {
        haproxy.binary.clone()
    } else {
        absolute(&haproxy.binary)
    }
}

/// Reads the directories on a thread that may block.
async fn listing(haproxy: &Haproxy) -> Result<Vec<Listing>, ListingError> {
    let base = haproxy.working_directory.clone().unwrap_or_default();
    let config: Vec<PathBuf> = haproxy.config.iter().map(|path| base.join(path)).collect();
    let listed = tokio::task::spawn_blocking(move || list(&config)).await;
    listed.unwrap_or_else(|ended| Err(ListingError { path: PathBuf::new(), source: io::Error::other(ended) }))
}

fn not_started(haproxy: &Haproxy, source: io::Error) -> ValidateError {
    let binary = haproxy.binary.clone();
    // The same error says that the working directory is missing.
    let in_a_directory = haproxy.working_directory.as_ref().is_none_or(|directory| directory.is_dir());
    match source.kind() {
        io::ErrorKind::NotFound if in_a_directory => ValidateError::NoProgram { binary },
        _ => ValidateError::NotStarted { binary, source },
    }
}

fn verdict(ended: &Ended, files: &[Loaded]) -> Verdict {
    let mut found = messages(&ended.stderr, files);
    if ended.status.success() {
        found.retain(|message| message.severity >= Severity::Warning);
        return Verdict::Accepted { warnings: found };
    }
    // Of these two HAProxy says nothing as an alert.
    if ended.status.code() == Some(2) {
        found.push(alert(
            "the configuration has no error, but no listener either (`bind`): HAProxy would not start",
        ));
    } else if files.is_empty() {
        found
            .push(alert("there is no configuration file to check: the configured directories hold no *.cfg"));
    }
    Verdict::Refused {
        messages: found,
        raw: in_the_users_names(&format!("{}{}", ended.stderr, ended.stdout), files),
    }
}

fn alert(text: &str) -> Message {
    Message { severity: Severity::Alert, file: None, line: None, text: text.to_owned() }
}
