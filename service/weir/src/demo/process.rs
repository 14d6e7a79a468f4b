//! One child process: its own process group, its output in a file, ended by its id.
//!
//! In: a command. Out: whether it still runs. A child that is dropped before it was ended is killed with its group. Its own
//! group keeps the terminal's Ctrl-C from it, so that the demo ends the parts in their order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A running child.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    /// Absent once it has been waited for: then the number may be somebody else's.
    pid: Option<Pid>,
    log: PathBuf,
}

impl Process {
    /// Starts it; stdout and stderr go to `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        Ok(Self { name, child, pid, log: log.to_owned() })
    }

    /// An error where it has ended.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        self.pid = None;
        bail!("{} ended with {status}; its log is {}", self.name, self.log.display())
    }

    /// SIGTERM, and SIGKILL to its group where that is not enough.
    pub(super) async fn end(mut self, patience: Duration) {
        if let Some(pid) = self.pid {
            let _ = kill(pid, Signal::SIGTERM);
        }
        if timeout(patience, self.child.wait()).await.is_ok() {
            self.pid = None;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(leader) = self.pid {
            // It may have ended at this very moment.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        Process::start("sh", command.args(["-c", script]), &dir.path().join("log")).unwrap()
    }

    async fn gone(pid: Pid) {
        let wait = async {
            while kill(pid, None).is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("it is gone in time");
    }

    #[tokio::test]
    async fn an_end_is_asked_for_and_then_forced() {
        for script in ["exec sleep 60", "trap '' TERM; while :; do sleep 1; done"] {
            let process = shell(script);
            let pid = process.pid.unwrap();
            process.end(Duration::from_millis(200)).await;
            gone(pid).await;
        }
    }

    #[tokio::test]
    async fn one_that_ended_by_itself_is_told_with_its_log() {
        let mut process = shell("exit 3");
        process.child.wait().await.unwrap();
        let error = process.must_run().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("log"), "{error}");
    }
}
