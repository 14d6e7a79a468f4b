//! Another program, run to its end within a time.
//!
//! In: the command and its time. Out: how it ended and what it printed. At the time-out, and when the caller gives up,
//! its whole process group is killed; after a normal end it is left alone, as it may have started a daemon.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What is kept of each output; the rest is read and dropped.
const KEPT: usize = 1 << 20;
/// How long outputs may stay open after the end: a daemon that was started may hold them for ever.
const OUTPUTS_CLOSE: Duration = Duration::from_millis(250);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs it; `None` at the time-out.
pub(crate) async fn run(command: &mut Command, time: Duration) -> io::Result<Option<Ended>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut group = Group::of(child.id());
    let stdout = Output::read(child.stdout.take());
    let stderr = Output::read(child.stderr.take());
    let Ok(status) = timeout(time, child.wait()).await else { return Ok(None) };
    group.leave_alone();
    Ok(Some(Ended { status: status?, stdout: stdout.end().await, stderr: stderr.end().await }))
}

/// Kills a process group when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw))
    }

    fn leave_alone(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended at this very moment.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// One output, read in the background.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn read(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let text = Arc::default();
        let reader = pipe.map(|pipe| tokio::spawn(collect(pipe, Arc::clone(&text))));
        Self { text, reader }
    }

    async fn end(mut self) -> String {
        if let Some(reader) = &mut self.reader {
            let _ = timeout(OUTPUTS_CLOSE, reader).await;
        }
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

async fn collect(mut pipe: impl AsyncRead + Unpin, text: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(text.len());
        text.extend_from_slice(&piece[..read.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn status_and_outputs_are_told() {
        let ended = run(&mut shell("echo out; echo err >&2; exit 3"), Duration::from_secs(10))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_outputs_does_not_hold_us() {
        let script = "sleep 60 & echo $!";
        let ended = run(&mut shell(script), Duration::from_secs(30)).await.unwrap().unwrap();
        let daemon = Pid::from_raw(ended.stdout.trim().parse().unwrap());
        kill(daemon, None).expect("it lives on");
        kill(daemon, Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn too_long_is_told() {
        assert!(run(&mut shell("sleep 60"), Duration::from_millis(50)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn giving_up_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let running = tokio::spawn(async move { run(&mut shell(&script), Duration::from_secs(50)).await });
        until(|| file.exists()).await;
        let grandchild = Pid::from_raw(std::fs::read_to_string(&file).unwrap().trim().parse().unwrap());
        running.abort();
        until(|| kill(grandchild, None).is_err() || is_zombie(grandchild)).await;
    }

    async fn until(predicate: impl Fn() -> bool) {
        let wait = async {
            while !predicate() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("it happens in time");
    }

    /// A killed orphan stays until init reaps it, which in a container may be never.
    fn is_zombie(pid: Pid) -> bool {
        let ps = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        ps.is_ok_and(|ps| ps.stdout.starts_with(b"Z"))
    }
}
