//! The socket of HAProxy's master (`-S`), through which every worker can be asked, old ones too.
//!
//! In: a command for the master, or for one worker. Out: the reply. While the master re-executes itself it refuses
//! connections or closes them without a word: some milliseconds on a good reload, 2.5 s on 2.6 when an address is in
//! use. Reading commands are repeated within [`MasterSocket::PATIENCE`]; others are sent once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::exchange::{Exchange, Limits, SocketError};
use crate::process_info::ProcessInfo;
use crate::processes::Processes;
use crate::startup_log::ReloadReply;

/// The master socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterSocket {
    path: PathBuf,
    limits: Limits,
    patience: Duration,
}

impl MasterSocket {
    /// How long a master that refuses connections is asked again, unless [`MasterSocket::patience`] says otherwise.
    pub const PATIENCE: Duration = Duration::from_secs(4);

    /// The socket at `path`, with the default limits.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), limits: Limits::default(), patience: Self::PATIENCE }
    }

    /// The same socket with another time for one command.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.limits = Limits::within(time);
        self
    }

    /// The same socket, given up when it says nothing for so long.
    #[must_use]
    pub(crate) fn silence(mut self, time: Duration) -> Self {
        self.limits.silence = self.limits.silence.min(time);
        self
    }

    /// The same socket, asked again for another time; zero asks once.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends one line to the master, once, and gives the reply as it came.
    pub async fn command(&self, command: &str) -> Result<String, SocketError> {
        self.send(command, self.limits).await
    }

    /// The master's processes.
    pub async fn show_proc(&self) -> Result<Processes, SocketError> {
        let reply = self.read("show proc", is_answer).await?;
        let no_master = || SocketError::unexpected(&self.path, "show proc", "no master is listed", &reply);
        Processes::parse(&reply).ok_or_else(no_master)
    }

    /// Sends one command to one worker, once. [`SocketError::NoSuchWorker`] when it has ended.
    pub async fn worker(&self, pid: u32, command: &str) -> Result<String, SocketError> {
        let command = addressed(pid, command);
        let reply = self.command(&command).await?;
        if is_unconnected(&reply) { Err(self.empty(&command)) } else { told_apart(pid, reply) }
    }

    /// What one worker says about itself.
    pub async fn worker_info(&self, pid: u32) -> Result<ProcessInfo, SocketError> {
        let reply = self.read_worker(pid, "show info").await?;
        self.process_info(&addressed(pid, "show info"), &reply)
    }

    /// The same, and what it says to `command`, which changes nothing: over one connection. Repeated while there is no answer: a
    /// worker that is about to end closes without a word or is not to be reached, and is no longer listed some milliseconds later.
    pub(crate) async fn info_and(
        &self,
        pid: u32,
        command: &str,
    ) -> Result<(ProcessInfo, String), SocketError> {
        let (show_info, command) = (addressed(pid, "show info"), addressed(pid, command));
        let both = |reply: &str| {
            is_answer(reply) && reply.split_once("\n\n").is_none_or(|(_, second)| is_whole(second))
        };
        let reply = told_apart(pid, self.read(&format!("{show_info};{command}"), both).await?)?;
        let (info, second) = reply.split_once("\n\n").unwrap_or((&reply, ""));
        Ok((self.process_info(&show_info, info)?, second.to_owned()))
    }

    fn process_info(&self, command: &str, reply: &str) -> Result<ProcessInfo, SocketError> {
        let info = ProcessInfo::parse(reply, std::time::SystemTime::now());
        info.map_err(|problem| SocketError::unexpected(&self.path, command, problem.to_string(), reply))
    }

    /// A command to one worker that changes nothing, repeated like that.
    pub(crate) async fn read_worker(&self, pid: u32, command: &str) -> Result<String, SocketError> {
        told_apart(pid, self.read(&addressed(pid, command), is_answer).await?)
    }

    /// Asks for a reload. From 2.7 on the reply comes when the new worker is ready or has failed, hence `within`.
    pub(crate) async fn reload(&self, within: Duration) -> Result<ReloadReply, SocketError> {
        Ok(ReloadReply::parse(&self.send("reload", Limits::within(within)).await?))
    }

    /// A command that changes nothing, repeated while the master does not answer.
    async fn read(&self, command: &str, is_answer: impl Fn(&str) -> bool) -> Result<String, SocketError> {
        let end = Instant::now() + self.patience;
        loop {
            let reply = match self.command(command).await {
                Ok(reply) if !is_answer(&reply) => Err(self.empty(command)),
                other => other,
            };
            match reply {
                Err(error) if error.may_pass() && Instant::now() < end => pause().await,
                other => return other,
            }
        }
    }

    fn empty(&self, command: &str) -> SocketError {
        SocketError::Empty { path: self.path.clone(), command: command.to_owned() }
    }

    async fn send(&self, command: &str, limits: Limits) -> Result<String, SocketError> {
        Exchange { path: &self.path, command, limits, half_close: true }.run().await
    }
}

fn told_apart(pid: u32, reply: String) -> Result<String, SocketError> {
    if is_no_worker(&reply) { Err(SocketError::NoSuchWorker { pid }) } else { Ok(reply) }
}

/// Whether a reply says anything.
fn is_answer(reply: &str) -> bool {
    !reply.is_empty() && !is_unconnected(reply)
}

/// Whether the answer to a command ends as it should. A master that re-executes itself, and a worker that ends, close in the middle
/// of a table as if that were its end. (An empty line ends it, as seen on 2.4.0, 2.6.12, 2.8.0, 3.0.11 and 3.2.26.)
pub(crate) fn is_whole(reply: &str) -> bool {
    is_answer(reply) && (reply.ends_with("\n\n") || is_no_worker(reply))
}

/// What the master says of a worker that it does not list.
fn is_no_worker(reply: &str) -> bool {
    reply.starts_with("Can't find the target")
}

/// What the master says of a worker that it still lists, but that has closed its side already.
fn is_unconnected(reply: &str) -> bool {
    reply.starts_with("Can't connect to the target")
}

fn addressed(pid: u32, command: &str) -> String {
    format!("@!{pid} {command}")
}

/// The pause before a master that re-executes itself is asked again, 10 to 30 ms: a good reload is over after 40.
pub(crate) async fn pause() {
    sleep(Duration::from_millis(fastrand::u64(10..30))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    const LIST: &str = "#<PID> <type> <reloads> <uptime> <version>\n1 master 0 [failed: 0] 0d00h00m00s 2.6\n";

    /// A master that gives these replies, one per connection, each when the client has closed its side.
    fn scripted(path: &Path, replies: &'static [&'static str]) -> tokio::task::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            let mut asked = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut line = String::new();
                stream.read_to_string(&mut line).await.unwrap();
                stream.write_all(reply.as_bytes()).await.unwrap();
                asked.push(line);
            }
            asked
        })
    }

    #[tokio::test]
    async fn reading_is_repeated_until_the_master_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let master = scripted(&path, &["", "", LIST]);
        assert_eq!(MasterSocket::new(&path).show_proc().await.unwrap().master, 1);
        assert_eq!(master.await.unwrap(), ["show proc\n"; 3]);
    }

    #[tokio::test]
    async fn a_worker_that_ends_is_told_from_one_that_is_slow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let replies = &[
            "Can't connect to the target CLI!\n",
            "",
            "Can't find the target PID matching the prefix '@!7'\n",
        ];
        let master = scripted(&path, replies);
        let error = MasterSocket::new(&path).worker_info(7).await.unwrap_err();
        assert!(matches!(error, SocketError::NoSuchWorker { pid: 7 }), "{error}");
        assert_eq!(master.await.unwrap(), ["@!7 show info\n"; 3]);
    }

    #[tokio::test]
    async fn two_answers_come_over_one_connection_or_are_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let replies = &[
            "Can't connect to the target CLI!\n",
            "Pid: 7\nVersion: 2.6.1\n\nCan't connect to the target CLI!\n",
            "Pid: 7\nVersion: 2.6.1\n\n",
            "Pid: 7\nVersion: 2.6.1\n\n# a,b,\n1,",
            "Pid: 7\nVersion: 2.6.1\n\n# a,b,\n1,2,\n",
            "Pid: 7\nVersion: 2.6.1\n\n# a,b,\n1,2,\n\n",
            "Can't find the target PID matching the prefix '@!7'\n",
        ];
        let master = scripted(&path, replies);
        let socket = MasterSocket::new(&path);
        let (info, second) = socket.info_and(7, "show stat").await.unwrap();
        assert_eq!((info.pid, second.as_str()), (7, "# a,b,\n1,2,\n\n"));
        let gone = socket.info_and(7, "show stat").await;
        assert!(matches!(gone, Err(SocketError::NoSuchWorker { pid: 7 })), "{gone:?}");
        assert_eq!(master.await.unwrap(), ["@!7 show info;@!7 show stat\n"; 7]);
    }

    #[tokio::test]
    async fn patience_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        drop(UnixListener::bind(&path).unwrap());
        let impatient = MasterSocket::new(&path).patience(Duration::from_millis(30));
        assert!(matches!(impatient.show_proc().await, Err(SocketError::Refused { .. })));
    }

    #[tokio::test]
    async fn the_reply_to_a_reload_is_read_in_both_forms() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let _master = scripted(&path, &["\n", "Success=0\n--\n[ALERT] (1) : no\n"]);
        let socket = MasterSocket::new(&path);
        let within = Duration::from_secs(5);
        assert_eq!(socket.reload(within).await.unwrap(), ReloadReply::Begun);
        assert_eq!(socket.reload(within).await.unwrap(), ReloadReply::Failed("[ALERT] (1) : no".into()));
    }
}
