//! One command and its reply on a unix socket.
//!
//! In: the socket's path, the line, the limits. Out: the reply as text. Fails with a [`SocketError`] that says
//! whether nobody listens (HAProxy does not run, or its master re-executes itself), or somebody listens and does
//! not answer.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::pacing::{PART, Pacing};

/// What one exchange may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connecting and writing.
    pub connect: Duration,
    /// No byte of the reply arrives for this long.
    pub silence: Duration,
    /// Everything together.
    pub total: Duration,
    /// The longest reply, in bytes: 64 MiB are the statistics of some 200,000 servers.
    pub reply_bytes: usize,
}

impl Limits {
    /// The same time for each step and for all of them.
    pub fn within(time: Duration) -> Self {
        Self { connect: time, silence: time, total: time, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let time = Duration::from_secs(5);
        Self { connect: time, silence: time, total: time, reply_bytes: 64 << 20 }
    }
}

/// Why there is no usable reply.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Neither socket is configured.
    #[error("HAProxy cannot be asked: set `stats_socket` in the haproxy block")]
    NotConfigured,
    /// There is no such socket.
    #[error("{path}: no such socket: HAProxy does not run, or its configuration names another path")]
    Missing {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is there, but nobody listens.
    #[error("{path}: connection refused: HAProxy does not run, or restarts just now")]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's mode keeps us out.
    #[error("{path}: permission denied: let weir's user or group use it (`mode` and `group` of the socket)")]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The connection ended before the reply was complete.
    #[error("{path}: connection broke off")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing came within the time allowed.
    #[error("{path}: no answer to `{command}` within {after:?}")]
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// The command that was sent.
        command: String,
        /// The limit that was reached.
        after: Duration,
    },
    /// The reply is longer than the limit.
    #[error("{path}: the answer to `{command}` is longer than {limit} bytes")]
    TooLong {
        /// The socket.
        path: PathBuf,
        /// The command that was sent.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The peer closed without a word, as the master does while it re-executes itself, and a worker that ends.
    #[error("{path}: empty answer to `{command}`: HAProxy reloads, or this worker ends just now")]
    Empty {
        /// The socket.
        path: PathBuf,
        /// The command that was sent.
        command: String,
    },
    /// A command that holds a line break would be two commands.
    #[error("a command must be one line: {command:?}")]
    NotOneLine {
        /// The refused command.
        command: String,
    },
    /// The worker that was asked has ended.
    #[error("HAProxy has no worker process {pid} (any more)")]
    NoSuchWorker {
        /// Its process ID.
        pid: u32,
    },
    /// The reply is not what this command gives.
    #[error("{path}: cannot use the answer to `{command}`: {problem}; it begins {beginning:?}")]
    Unexpected {
        /// The socket.
        path: PathBuf,
        /// The command that was sent.
        command: String,
        /// What is missing or wrong.
        problem: String,
        /// The reply's first characters.
        beginning: String,
    },
}

impl SocketError {
    /// Nobody listens there: a normal state of things, as HAProxy may be stopped.
    pub fn nobody_listens(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Refused { .. })
    }

    /// What also happens for some milliseconds, or seconds, while a master re-executes itself.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Broken { .. } | Self::Empty { .. })
    }

    pub(crate) fn timed_out(path: &Path, command: &str, after: Duration) -> Self {
        Self::TimedOut { path: path.to_owned(), command: command.to_owned(), after }
    }

    /// What the system's error means here.
    pub(crate) fn failed(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => Self::Missing { path },
            ErrorKind::ConnectionRefused => Self::Refused { path },
            ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Broken { path, source },
        }
    }

    pub(crate) fn unexpected(path: &Path, command: &str, problem: impl Into<String>, reply: &str) -> Self {
        Self::Unexpected {
            path: path.to_owned(),
            command: command.to_owned(),
            problem: problem.into(),
            beginning: reply.trim().chars().take(80).collect(),
        }
    }
}

/// Room for what most replies need: `show info`, and the two tables of a pool of a dozen servers, in one read.
pub(crate) const FIRST_READ: usize = 16 << 10;

/// What tells one exchange from another.
pub(crate) struct Exchange<'a> {
    pub(crate) path: &'a Path,
    pub(crate) command: &'a str,
    pub(crate) limits: Limits,
    /// Closes our side after the command: the master socket answers for ever otherwise.
    pub(crate) half_close: bool,
}

impl Exchange<'_> {
    /// Sends the command and reads until the peer closes.
    pub(crate) async fn run(&self) -> Result<String, SocketError> {
        if self.command.contains(['\n', '\r', '\0']) {
            return Err(SocketError::NotOneLine { command: self.command.to_owned() });
        }
        self.bounded(self.limits.total, self.converse()).await
    }

    async fn converse(&self) -> Result<String, SocketError> {
        let mut stream = self.bounded(self.limits.connect, self.send()).await?;
        let mut reply = Vec::with_capacity(FIRST_READ);
        self.read_to_end(&mut stream, &mut reply).await?;
        Ok(text(reply))
    }

    async fn read_to_end(&self, stream: &mut UnixStream, reply: &mut Vec<u8>) -> Result<(), SocketError> {
        let mut pacing = Pacing::within(self.limits.total);
        loop {
            match self.bounded(self.limits.silence, self.receive(stream, reply)).await? {
                0 => return Ok(()),
                read => pacing.rest(read).await,
            }
        }
    }

    async fn write(&self, stream: &mut UnixStream) -> Result<(), SocketError> {
        let line = format!("{}\n", self.command);
        stream.write_all(line.as_bytes()).await.map_err(|error| self.failed(error))
    }

    async fn send(&self) -> Result<UnixStream, SocketError> {
        let mut stream = UnixStream::connect(self.path).await.map_err(|error| self.failed(error))?;
        self.write(&mut stream).await?;
        if self.half_close {
            stream.shutdown().await.map_err(|error| self.failed(error))?;
        }
        Ok(stream)
    }

    /// Reads what is there; how much, none at the end.
    async fn receive(&self, stream: &mut UnixStream, reply: &mut Vec<u8>) -> Result<usize, SocketError> {
        let mut part = stream.take(PART as u64);
        let read = part.read_buf(reply).await.map_err(|error| self.failed(error))?;
        if reply.len() > self.limits.reply_bytes {
            let (path, command) = (self.path.to_owned(), self.command.to_owned());
            return Err(SocketError::TooLong { path, command, limit: self.limits.reply_bytes });
        }
        Ok(read)
    }

    async fn bounded<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = Result<T, SocketError>>,
    ) -> Result<T, SocketError> {
        let late = || SocketError::timed_out(self.path, self.command, limit);
        timeout(limit, step).await.map_err(|_| late())?
    }

    fn failed(&self, source: io::Error) -> SocketError {
        SocketError::failed(self.path, source)
    }
}

/// The reply as text; what is not UTF-8 is replaced.
pub(crate) fn text(reply: Vec<u8>) -> String {
    String::from_utf8(reply).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    fn exchange<'a>(path: &'a Path, command: &'a str, limits: Limits) -> Exchange<'a> {
        Exchange { path, command, limits, half_close: false }
    }

    #[tokio::test]
    async fn a_socket_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let limits = Limits::within(Duration::from_millis(50));
        let error = exchange(&path, "show info", limits).run().await.unwrap_err();
        assert!(matches!(&error, SocketError::TimedOut { command, .. } if command == "show info"), "{error}");
    }

    #[tokio::test]
    async fn a_reply_has_a_longest_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let flood = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        let limits = Limits { reply_bytes: 100_000, ..Limits::default() };
        let error = exchange(&path, "show stat", limits).run().await.unwrap_err();
        assert!(matches!(error, SocketError::TooLong { limit: 100_000, .. }), "{error}");
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn absence_is_told_from_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let error = exchange(&path, "x", Limits::default()).run().await.unwrap_err();
        assert!(matches!(error, SocketError::Missing { .. }) && error.nobody_listens());
        drop(UnixListener::bind(&path).unwrap());
        let error = exchange(&path, "x", Limits::default()).run().await.unwrap_err();
        assert!(matches!(error, SocketError::Refused { .. }) && error.nobody_listens());
    }

    #[tokio::test]
    async fn two_lines_are_not_one_command() {
        let error =
            exchange(Path::new("/x"), "show info\nshutdown", Limits::default()).run().await.unwrap_err();
        assert!(matches!(error, SocketError::NotOneLine { .. }));
    }
}
