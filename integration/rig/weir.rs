//! The real `weir` binary as a child process, and what it says on HTTP.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::haproxy::Haproxy;
use super::process::Process;
use super::{SOON, http, wait_for};

/// A running `weir run`.
pub(crate) struct Weir {
    http: u16,
    process: Process,
}

/// HAProxy's worker, and how often weir has reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) worker: u32,
    pub(crate) reloads: u64,
}

impl Weir {
    /// Starts `weir run -c config`; its HTTP listens on `http`, its log goes to `log`.
    pub(crate) fn start(config: &Path, http: u16, log: &Path) -> Self {
        let mut command = command();
        command.arg("run").arg("-c").arg(config);
        Self { http, process: Process::start("weir", command, log) }
    }

    /// What it has logged so far, since the first start with this log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// `/v1/status`; `None` while it does not answer.
    pub(crate) async fn status(&self) -> Option<Value> {
        let reply = http::get(self.http, "/v1/status").await.ok()?;
        serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 200)
    }

    /// `/v1/records`, oldest first; empty while it does not answer.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let Ok(reply) = http::get(self.http, "/v1/records").await else { return Vec::new() };
        let records: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        records.as_array().cloned().unwrap_or_default()
    }

    /// `/metrics` as text.
    pub(crate) async fn metrics(&self) -> String {
        http::get(self.http, "/metrics").await.expect("weir answers").body
    }

    /// Reloads that it made since its start.
    pub(crate) async fn reloads(&self) -> u64 {
        let status = self.status().await.expect("weir answers");
        status["haproxy"][0]["reloads"].as_u64().expect("the status counts reloads")
    }

    /// What does not change while nobody reloads.
    pub(crate) async fn generation(&self, haproxy: &Haproxy) -> Generation {
        let worker = haproxy.worker().await.expect("HAProxy answers");
        Generation { worker, reloads: self.reloads().await }
    }

    /// The HTTP status of `path`.
    pub(crate) async fn answers(&self, path: &str) -> Option<u16> {
        http::get(self.http, path).await.ok().map(|reply| reply.status)
    }

    /// Waits until the status fulfils `predicate`; the status. Fails at once if weir has ended.
    pub(crate) async fn wait_status(
        &mut self,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let started = std::time::Instant::now();
        while started.elapsed() < deadline {
            self.must_run();
            if let Some(status) = self.status().await {
                if predicate(&status) {
                    return status;
                }
                last = status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not within {deadline:?}; the last status is {last:#}");
    }

    /// Waits until everything is rendered and HAProxy answers.
    pub(crate) async fn wait_ready(&mut self) -> Value {
        self.wait_status("weir is ready", SOON, |status| status["ready"] == true).await
    }

    /// Its process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Fails if the daemon has ended.
    pub(crate) fn must_run(&mut self) {
        let ended = self.process.exit();
        assert!(ended.is_none(), "weir ended with {ended:?}:\n{}", self.process.log());
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.end(Signal::SIGTERM, SOON).await
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.end(Signal::SIGKILL, SOON).await;
    }

    /// Any signal, without waiting for what it does.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        wait_for("weir ends", deadline, async || self.process.exit()).await
    }
}

/// The binary under test, without the environment's Consul and Nomad.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in inherited.filter(|name| name.starts_with("CONSUL_") || name.starts_with("NOMAD_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

/// Runs a short command of weir to its end, off the runtime's threads; two minutes at most.
pub(crate) async fn run(args: Vec<PathBuf>) -> Output {
    let mut command = tokio::process::Command::from(command());
    command.args(&args).kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(Duration::from_mins(2), command.output()).await;
    output.unwrap_or_else(|_| panic!("weir {args:?} does not end")).expect("weir starts")
}

/// Stdout and stderr of a run, for messages.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
