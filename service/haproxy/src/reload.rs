//! Bringing a new configuration into force, and seeing that it is.
//!
//! In: where HAProxy is. Out: [`Reloaded`], once a worker process that was not there before answers. Fails with the
//! words of HAProxy or of the command, when the old process stays in force, or when nobody answers in time. A failed
//! reload of a master leaves its old worker serving.
//!
//! What tells success is the same for all versions: the master lists a new worker and no failed reload, and the new
//! worker answers. From 2.7 on the reply to `reload` says more and sooner; on 2.6 it is empty.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout_at};
use weir_scaling::Process;

use crate::absence::{Absence, absence};
use crate::child::{Ended, run};
use crate::config::Haproxy;
use crate::exchange::SocketError;
use crate::master_socket::{MasterSocket, pause};
use crate::processes::Processes;
use crate::startup_log::ReloadReply;

/// How much of a failed command's output is shown, in characters, from its end.
const SHOWN: usize = 2000;

/// The way HAProxy is reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadMethod {
    /// `reload` on the master socket.
    Master(PathBuf),
    /// A command, run by `/bin/sh -c`.
    Command {
        /// As it was configured.
        command: String,
        /// How long it may run.
        timeout: Duration,
    },
}

/// A reload that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// From the request to the answer of the new worker.
    pub took: Duration,
    /// The new worker; `None` where there is no socket to ask, so that only the command's own word is known.
    pub process: Option<Process>,
}

/// Why a reload is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Nothing to reload with.
    #[error("HAProxy cannot be reloaded: set `master_socket` or `reload_command` in the haproxy block")]
    NoMethod,
    /// HAProxy does not run, so it will read the new configuration when it starts.
    #[error("HAProxy does not run: there is nothing to reload")]
    NotRunning {
        /// What the master socket gave.
        #[source]
        source: SocketError,
    },
    /// The master does not take the request.
    #[error("HAProxy's master did not begin to reload: {answer}")]
    NotBegun {
        /// Its words.
        answer: String,
    },
    /// The new worker did not start; the old one serves on.
    #[error("HAProxy could not start with the new configuration, its old worker serves on: {}", failure(log))]
    Failed {
        /// What the new process printed; empty up to 2.6, where only HAProxy's own log has it.
        log: String,
    },
    /// The process that answered before still answers.
    #[error("after {after:?} the old HAProxy process {pid} still answers: the reload did not take effect")]
    SameProcess {
        /// That process.
        pid: u32,
        /// How long a new one was waited for.
        after: Duration,
    },
    /// No worker answers, or the master says nothing.
    #[error("no new HAProxy worker answered within {after:?}: see HAProxy's log")]
    NoAnswer {
        /// How long was waited.
        after: Duration,
        /// What the last attempt gave.
        #[source]
        source: Option<SocketError>,
    },
    /// The socket gives no usable answer.
    #[error("HAProxy cannot be asked to reload")]
    Socket(#[source] SocketError),
    /// The command cannot be started.
    #[error("`{command}`: cannot be started")]
    CommandNotStarted {
        /// The command.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The command reports failure.
    #[error("`{command}` failed ({status}): {output}")]
    CommandFailed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The command did not end; it was killed with all that it started.
    #[error(
        "`{command}` did not end within {after:?} and was killed: raise `reload_timeout` if it needs longer"
    )]
    CommandTimedOut {
        /// The command.
        command: String,
        /// The time it had.
        after: Duration,
    },
}

fn failure(log: &str) -> &str {
    let unknown = "its log says why (an address in use, a missing right: `haproxy -c` finds neither)";
    if log.is_empty() { unknown } else { log }
}

impl ReloadError {
    /// Whether HAProxy never began: what it was to read is not to blame.
    pub fn is_before_it_began(&self) -> bool {
        matches!(
            self,
            Self::NoMethod
                | Self::NotRunning { .. }
                | Self::NotBegun { .. }
                | Self::Socket(_)
                | Self::CommandNotStarted { .. }
        )
    }
}

impl Haproxy {
    /// How it is reloaded: by the command where one is configured, or else through the master socket.
    pub fn reload_method(&self) -> Option<ReloadMethod> {
        let command = self.reload_command.clone();
        let timeout = self.reload_command_timeout;
        let command = command.map(|command| ReloadMethod::Command { command, timeout });
        command.or_else(|| self.master_socket.clone().map(ReloadMethod::Master))
    }
}

/// Reloads HAProxy and waits until a new worker answers. One at a time: a second call meanwhile would take the
/// first one's worker for its own.
pub async fn reload(haproxy: &Haproxy) -> Result<Reloaded, ReloadError> {
    reload_and_tell(haproxy, &[]).await
}

/// The same, with commands for the new worker's stats socket: it is told them with its first answer, which comes up to
/// 30 ms before the master speaks of it. What it replies is not looked at.
pub async fn reload_and_tell(haproxy: &Haproxy, first: &[String]) -> Result<Reloaded, ReloadError> {
    let started = Instant::now();
    let deadline = started + haproxy.reload_timeout;
    let process = match haproxy.reload_method().ok_or(ReloadError::NoMethod)? {
        ReloadMethod::Master(path) => {
            let master = MasterSocket::new(path).timeout(haproxy.socket_timeout);
            let before = match master.show_proc().await {
                Ok(before) => before,
                Err(source) => return Err(not_asked(haproxy, source).await),
            };
            let old = before.all().map(|worker| worker.pid).collect();
            let greeting = Greeting { haproxy, old, first };
            Some(greeting.beside(through_master(haproxy, &master, &before, deadline)).await?)
        }
        ReloadMethod::Command { command, timeout } => by_command(haproxy, &command, timeout, first).await?,
    };
    Ok(Reloaded { took: started.elapsed(), process })
}

/// Ends when the master has a new worker. Out: until when that is to answer.
async fn through_master(
    haproxy: &Haproxy,
    master: &MasterSocket,
    before: &Processes,
    deadline: Instant,
) -> Result<Instant, ReloadError> {
    match request(master, deadline).await? {
        ReloadReply::Failed(log) => return Err(ReloadError::Failed { log }),
        ReloadReply::NotBegun(answer) => return Err(ReloadError::NotBegun { answer }),
        ReloadReply::Begun | ReloadReply::Ready => {}
    }
    new_worker(haproxy, &master.clone().patience(Duration::ZERO), before, deadline).await?;
    Ok(deadline)
}

/// What it means that the master was not reached. One whose stats socket is served runs: `master_socket` is wrong.
async fn not_asked(haproxy: &Haproxy, source: SocketError) -> ReloadError {
    match absence(haproxy).await {
        Absence::CannotBeAsked => ReloadError::Socket(source),
        Absence::Stopped | Absence::NoSocket => not_running(source),
    }
}

fn not_running(source: SocketError) -> ReloadError {
    if source.nobody_listens() { ReloadError::NotRunning { source } } else { ReloadError::Socket(source) }
}

/// Sends the request, again while the master refuses connections (somebody else reloads). A connection that breaks
/// off behind the request is what a master gives that re-executes itself.
async fn request(master: &MasterSocket, deadline: Instant) -> Result<ReloadReply, ReloadError> {
    loop {
        match master.reload(deadline.saturating_duration_since(Instant::now())).await {
            Err(SocketError::Refused { .. }) if Instant::now() < deadline => pause().await,
            Err(SocketError::Broken { .. } | SocketError::TimedOut { .. }) => return Ok(ReloadReply::Begun),
            Err(error) => return Err(not_running(error)),
            Ok(reply) => return Ok(reply),
        }
    }
}

/// The time between two looks for the new worker: short at first, as what people set by hand comes back with the first
/// answer (reloads of 2.6.12 to 3.2 take 40 to 230 ms), longer where it takes long.
async fn wait(begun: Instant) {
    sleep((begun.elapsed() / 32).clamp(Duration::from_millis(2), Duration::from_millis(30))).await;
}

/// Waits until the master lists a worker that was not there before.
async fn new_worker(
    haproxy: &Haproxy,
    master: &MasterSocket,
    before: &Processes,
    deadline: Instant,
) -> Result<(), ReloadError> {
    let mut last = None;
    let begun = Instant::now();
    let look = async {
        loop {
            match master.show_proc().await.map(|now| progress(before, &now)) {
                Ok(Progress::NewWorker) => return Ok(()),
                Ok(Progress::Failed) => return Err(ReloadError::Failed { log: String::new() }),
                Ok(Progress::NothingYet) => {}
                Err(error) => last = Some(error),
            }
            wait(begun).await;
        }
    };
    let ended = timeout_at(deadline, look).await;
    ended.unwrap_or(Err(ReloadError::NoAnswer { after: haproxy.reload_timeout, source: last }))
}

/// How far a reload has come.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    NothingYet,
    NewWorker,
    Failed,
}

/// Compares the master's lists from before the request and now. A reload that went well sets `failed` to 0, any other
/// adds one; another master (HAProxy was started anew) counts from 0.
fn progress(before: &Processes, now: &Processes) -> Progress {
    let known = |pid: u32| before.all().any(|worker| worker.pid == pid);
    let tried = now.master != before.master || now.reloads > before.reloads;
    match now.current() {
        _ if tried && now.failed > 0 => Progress::Failed,
        Some(worker) if now.failed == 0 && !known(worker.pid) => Progress::NewWorker,
        _ => Progress::NothingYet,
    }
}

/// The first words with a worker that is none of the `old` ones.
#[derive(Clone)]
struct Greeting<'a> {
    haproxy: &'a Haproxy,
    old: BTreeSet<u32>,
    first: &'a [String],
}

impl Greeting<'_> {
    /// Greets the new worker while `reloading` goes on, as soon as it answers; at the latest when that says.
    async fn beside(
        mut self,
        reloading: impl Future<Output = Result<Instant, ReloadError>>,
    ) -> Result<Process, ReloadError> {
        let greeting = self.clone();
        let mut reloading = std::pin::pin!(reloading);
        let greeted = tokio::select! {
            biased;
            // What was said to the old worker meanwhile may hang: it is said anew.
            deadline = &mut reloading => return self.answer(deadline?).await,
            greeted = greeting.early() => greeted,
        };
        let deadline = reloading.await?;
        if current(self.haproxy).await.is_ok_and(|now| now.pid == greeted.pid) {
            return Ok(greeted);
        }
        // That one was somebody else's, from a moment before.
        self.old.insert(greeted.pid);
        self.answer(deadline).await
    }

    /// Waits for ever where only the master can be asked, which is busy.
    async fn early(&self) -> Process {
        let begun = Instant::now();
        while self.haproxy.stats_socket.is_some() {
            match self.meet().await {
                Ok(process) if self.is_new(process) => return process,
                _ => wait(begun).await,
            }
        }
        std::future::pending().await
    }

    /// Waits until it answers.
    async fn answer(&self, deadline: Instant) -> Result<Process, ReloadError> {
        let mut last = None;
        let begun = Instant::now();
        let ask = async {
            loop {
                match self.meet().await {
                    Ok(process) if self.is_new(process) => return process,
                    other => last = Some(other),
                }
                wait(begun).await;
            }
        };
        let ended = timeout_at(deadline, ask).await;
        let after = self.haproxy.reload_timeout;
        ended.map_err(|_| match last {
            Some(Ok(process)) => ReloadError::SameProcess { pid: process.pid, after },
            Some(Err(source)) => ReloadError::NoAnswer { after, source: Some(source) },
            None => ReloadError::NoAnswer { after, source: None },
        })
    }

    fn is_new(&self, process: Process) -> bool {
        !self.old.contains(&process.pid)
    }

    /// Asks who answers, and tells it what comes first if it is new, in one conversation.
    async fn meet(&self) -> Result<Process, SocketError> {
        let Some(stats) = self.haproxy.stats() else { return current(self.haproxy).await };
        let mut line = stats.line().await?;
        let process = line.info().process();
        if self.is_new(process) {
            line.say(self.first).await?;
        }
        Ok(process)
    }
}

/// The worker in force, by its own answer: on the stats socket, or where there is none through the master.
async fn current(haproxy: &Haproxy) -> Result<Process, SocketError> {
    if let Some(stats) = haproxy.stats() {
        return Ok(stats.show_info().await?.process());
    }
    let missing = || SocketError::Missing { path: haproxy.master_socket.clone().unwrap_or_default() };
    let master = haproxy.master().ok_or_else(missing)?.patience(Duration::ZERO);
    let processes = master.show_proc().await?;
    let worker = processes.current().ok_or_else(missing)?;
    Ok(master.worker_info(worker.pid).await?.process())
}

/// Runs the command; where there is a socket to ask, waits for another process than before.
async fn by_command(
    haproxy: &Haproxy,
    command: &str,
    timeout: Duration,
    first: &[String],
) -> Result<Option<Process>, ReloadError> {
    let before = current(haproxy).await.ok();
    let running = async {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        succeeded(command, timeout, run(&mut shell, timeout).await)?;
        Ok(Instant::now() + haproxy.reload_timeout)
    };
    if haproxy.stats_socket.is_none() && haproxy.master_socket.is_none() {
        return running.await.map(|_| None);
    }
    let old = before.iter().map(|process| process.pid).collect();
    let greeting = Greeting { haproxy, old, first };
    // Where nobody answered before, who answers meanwhile may be the old one.
    let answered = match before {
        Some(_) => greeting.beside(running).await,
        None => greeting.answer(running.await?).await,
    };
    answered.map(Some)
}

fn succeeded(command: &str, after: Duration, ended: io::Result<Option<Ended>>) -> Result<(), ReloadError> {
    let command = command.to_owned();
    match ended {
        Err(source) => Err(ReloadError::CommandNotStarted { command, source }),
        Ok(None) => Err(ReloadError::CommandTimedOut { command, after }),
        Ok(Some(ended)) if ended.status.success() => Ok(()),
        Ok(Some(Ended { status, stdout, stderr })) => {
            let output = last_of(format!("{stdout}{stderr}").trim());
            Err(ReloadError::CommandFailed { command, status, output })
        }
    }
}

fn last_of(text: &str) -> String {
    let from = text.char_indices().rev().nth(SHOWN - 1).map_or(0, |(at, _)| at);
    if text.is_empty() { "it printed nothing".to_owned() } else { text[from..].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Worker;

    fn listed(master: u32, (reloads, failed): (u32, u32), workers: &[u32], old: &[u32]) -> Processes {
        let worker = |&pid: &u32| Worker { pid, age: 0, uptime: Duration::ZERO, version: None };
        let (workers, old_workers) = (workers.iter().map(worker).collect(), old.iter().map(worker).collect());
        Processes { master, reloads, failed, workers, old_workers }
    }

    #[test]
    fn progress_follows_the_masters_list() {
        let before = listed(1, (4, 1), &[10], &[9]);
        assert_eq!(progress(&before, &before), Progress::NothingYet);
        assert_eq!(progress(&before, &listed(1, (5, 2), &[10], &[9])), Progress::Failed);
        assert_eq!(progress(&before, &listed(1, (5, 0), &[], &[10, 9])), Progress::NothingYet);
        assert_eq!(progress(&before, &listed(1, (5, 0), &[11], &[10, 9])), Progress::NewWorker);
        assert_eq!(progress(&before, &listed(2, (0, 0), &[12], &[])), Progress::NewWorker);
    }

    fn only(reload_command: &str) -> Haproxy {
        let second = Duration::from_secs(1);
        Haproxy {
            reload_command: Some(reload_command.into()),
            reload_command_timeout: second,
            ..Haproxy::default()
        }
    }

    #[tokio::test]
    async fn a_command_is_judged_by_its_end() {
        assert_eq!(reload(&only("true")).await.unwrap().process, None);
        let error = reload(&only("echo no such luck >&2; exit 7")).await.unwrap_err();
        assert!(
            error.to_string().contains("exit status: 7") && error.to_string().ends_with("no such luck"),
            "{error}"
        );
        let error = reload(&only("sleep 60")).await.unwrap_err();
        assert!(matches!(error, ReloadError::CommandTimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn without_a_method_or_an_haproxy_it_says_so() {
        assert!(matches!(reload(&Haproxy::default()).await, Err(ReloadError::NoMethod)));
        let none = Haproxy { master_socket: Some("/nonexistent/m.sock".into()), ..Haproxy::default() };
        assert!(matches!(reload(&none).await, Err(ReloadError::NotRunning { .. })));
    }

    #[test]
    fn the_end_of_a_long_output_is_shown() {
        let long = "é".repeat(SHOWN) + "end";
        assert_eq!(last_of(&long).chars().count(), SHOWN);
        assert!(last_of(&long).ends_with("end"));
    }
}
