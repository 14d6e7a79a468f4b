//! HAProxy's stats socket (runtime API), as the current worker serves it.
//!
//! In: one command line. Out: its reply. One connection per command: a connection that is kept over a reload keeps
//! the old worker alive and goes on talking to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exchange::{Exchange, Limits, SocketError};
use crate::process_info::ProcessInfo;

/// The socket of a `stats socket` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsSocket {
    path: PathBuf,
    limits: Limits,
}

impl StatsSocket {
    /// The socket at `path`, with the default limits.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), limits: Limits::default() }
    }

    /// The same socket with another time for one command.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.with_limits(Limits::within(time))
    }

    /// The same socket with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What one exchange may cost.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends one line (several commands may be separated by `;`) and gives the reply as it came.
    pub async fn command(&self, command: &str) -> Result<String, SocketError> {
        Exchange { path: &self.path, command, limits: self.limits, half_close: false }.run().await
    }

    /// Who answers.
    pub async fn show_info(&self) -> Result<ProcessInfo, SocketError> {
        Ok(self.with_info("show info", None).await?.0)
    }

    /// Who answers, and what the same process says to `command`: one connection, so that no reload comes between.
    pub(crate) async fn info_and(&self, command: &str) -> Result<(ProcessInfo, String), SocketError> {
        self.with_info(&format!("show info;{command}"), Some(command)).await
    }

    async fn with_info(
        &self,
        line: &str,
        second: Option<&str>,
    ) -> Result<(ProcessInfo, String), SocketError> {
        let reply = self.command(line).await?;
        let (info, rest) = reply.split_once("\n\n").unwrap_or((&reply, ""));
        let info = self.process_info(info)?;
        if second.is_some() && rest.is_empty() {
            return Err(SocketError::unexpected(&self.path, line, "the second answer is missing", &reply));
        }
        Ok((info, rest.to_owned()))
    }

    /// Reads the reply to `show info`.
    pub(crate) fn process_info(&self, reply: &str) -> Result<ProcessInfo, SocketError> {
        ProcessInfo::parse(reply, std::time::SystemTime::now())
            .map_err(|problem| SocketError::unexpected(&self.path, "show info", problem.to_string(), reply))
    }
}
