//! Talking to the worker in force: commands, and a look at its servers, on one line.
//!
//! In: command lines and the process that they are for, and which backends to look at. Out: a [`Told`]: who answered, each command's
//! reply, the servers as they are after the commands; or that [another](Reached::Another) process answers, which is told nothing. All of
//! it comes from one process: a reload cannot come between. Fails with a [`SocketError`]; how many of the commands were carried
//! out is not known then.

use std::collections::BTreeSet;

use weir_scaling::{BackendSample, Process};

use crate::exchange::SocketError;
use crate::process_info::ProcessInfo;
use crate::servers_state::{ObservedServer, servers_state};
use crate::session::Session;
use crate::statistics::statistics;
use crate::stats_socket::StatsSocket;

/// Asks a process who it is.
const WHO: &str = "show info";

/// Which servers to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// At those of all backends.
    All,
    /// At those of some.
    Backends(BTreeSet<String>),
}

/// What a worker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who answered.
    pub info: ProcessInfo,
    /// The reply to each command, in order, without the line feed that ends it.
    pub replies: Vec<String>,
    /// The servers after that.
    pub servers: Vec<ObservedServer>,
    /// Their sessions, queues and limits, by backend.
    pub backends: Vec<BackendSample>,
}

/// An open connection to one worker, which said who it is. To be short: it keeps an old worker alive.
#[derive(Debug)]
pub struct Line {
    session: Session,
    info: ProcessInfo,
}

/// Who took the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The process that was meant.
    Meant(Told),
    /// Another one, which was sent no command: somebody reloaded.
    Another(ProcessInfo),
}

impl StatsSocket {
    /// Asks who is there.
    pub async fn line(&self) -> Result<Line, SocketError> {
        Ok(self.line_with(&[]).await?.0)
    }

    /// Looks at the servers of the worker in force, whichever it is.
    pub async fn look(&self, look: &Look) -> Result<(Line, Told), SocketError> {
        let looking = look.lines();
        let lines: Vec<&str> = looking.iter().map(String::as_str).collect();
        let (line, replies) = self.line_with(&lines).await?;
        let told = line.told(replies, 0)?;
        Ok((line, told))
    }

    async fn line_with(&self, lines: &[&str]) -> Result<(Line, Vec<String>), SocketError> {
        let (session, mut replies) = self.session_with(&[&[WHO], lines].concat()).await?;
        let info = self.process_info(&replies.remove(0))?;
        Ok((Line { session, info }, replies))
    }
}

impl Line {
    /// Who is at its other end.
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// Has whoever it is carry out `commands`.
    pub(crate) async fn say(&mut self, commands: &[String]) -> Result<Vec<String>, SocketError> {
        self.session.say_all(commands).await
    }

    /// Has `worker` carry out `commands`, one line each, and looks at its servers. After a reload a line leads to a worker that
    /// the commands were not meant for.
    pub async fn tell(
        &mut self,
        worker: Process,
        commands: &[String],
        look: &Look,
    ) -> Result<Reached, SocketError> {
        self.tell_on(worker, &[], &|_| commands.to_vec(), look).await
    }

    /// The same, with commands between `commands` and the look that depend on the replies to them. [`Told::replies`] has
    /// those to all.
    pub async fn tell_on(
        &mut self,
        worker: Process,
        commands: &[String],
        then: &(dyn Fn(&[String]) -> Vec<String> + Sync),
        look: &Look,
    ) -> Result<Reached, SocketError> {
        if !self.info.is(worker) {
            return Ok(Reached::Another(self.info.clone()));
        }
        let mut replies = self.say(commands).await?;
        let mut lines = then(&replies);
        let said = replies.len() + lines.len();
        lines.extend(look.lines());
        replies.extend(self.say(&lines).await?);
        Ok(Reached::Meant(self.told(replies, said)?))
    }

    /// The replies to so many commands, and to a look.
    fn told(&self, mut replies: Vec<String>, commands: usize) -> Result<Told, SocketError> {
        let tables = replies.split_off(commands);
        let (servers, backends) = self.tables(&tables)?;
        Ok(Told { info: self.info.clone(), replies, servers, backends })
    }

    /// Reads pairs of tables: states, then statistics.
    fn tables(&self, replies: &[String]) -> Result<(Vec<ObservedServer>, Vec<BackendSample>), SocketError> {
        let (mut servers, mut backends) = (Vec::new(), Vec::new());
        for pair in replies.chunks_exact(2) {
            let (states, numbers) = (&pair[0], &pair[1]);
            if states.starts_with("Can't find backend") {
                continue;
            }
            servers.extend(servers_state(states).ok_or_else(|| self.no_table("show servers state", states))?);
            backends.extend(statistics(numbers).ok_or_else(|| self.no_table("show stat", numbers))?);
        }
        Ok((servers, backends))
    }

    fn no_table(&self, command: &str, reply: &str) -> SocketError {
        SocketError::unexpected(self.session.socket().path(), command, "no table of servers in it", reply)
    }
}

impl Look {
    /// The commands of a look: pairs of tables.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::All => vec!["show servers state".to_owned(), "show stat -1 6 -1".to_owned()],
            Self::Backends(names) => names
                .iter()
                .flat_map(|name| [format!("show servers state {name}"), format!("show stat {name} 6 -1")])
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::scripted;

    const ASKED: (&str, &str) =
        ("prompt\nshow info\n", "\n> Version: 2.6.12\nPid: 7\nStart_time_sec: 1000\n\n> ");
    const MEANT: Process = Process { node: 0, pid: 7, started: 1000 };

    fn commands(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn at_none() -> Look {
        Look::Backends(BTreeSet::new())
    }

    #[tokio::test]
    async fn another_worker_is_sent_no_command() {
        for other in [Process { pid: 8, ..MEANT }, Process { started: 999, ..MEANT }] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s");
            let socket = StatsSocket::new(&path);
            let haproxy = scripted(&path, &[ASKED]);
            let mut line = socket.line().await.unwrap();
            let reached = line.tell(other, &commands(&["first"]), &Look::All).await.unwrap();
            assert!(matches!(reached, Reached::Another(info) if info.process() == MEANT));
            let then = |_: &[String]| commands(&["second"]);
            let reached = line.tell_on(other, &commands(&["first"]), &then, &Look::All).await.unwrap();
            assert!(matches!(reached, Reached::Another(_)));
            drop(line);
            assert_eq!(haproxy.await.unwrap(), "");
        }
    }

    #[tokio::test]
    async fn the_worker_that_is_meant_is_sent_one_command_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let haproxy =
            scripted(&path, &[ASKED, ("a\nb\n", "no\n\n> \n> "), ("c\n", "yes\n\n> "), ("d\n", "\n> ")]);
        let then = |replies: &[String]| {
            assert_eq!(replies, ["no\n", ""]);
            commands(&["c"])
        };
        let mut line = StatsSocket::new(&path).line().await.unwrap();
        let reached = line.tell_on(MEANT, &commands(&["a", "b"]), &then, &at_none()).await.unwrap();
        let Reached::Meant(told) = reached else { panic!("{reached:?}") };
        assert_eq!((told.info.process(), told.replies), (MEANT, commands(&["no\n", "", "yes\n"])));
        let reached = line.tell(MEANT, &commands(&["d"]), &at_none()).await.unwrap();
        assert!(matches!(reached, Reached::Meant(told) if told.replies == [""]));
        drop(line);
        assert_eq!(haproxy.await.unwrap(), "");
    }

    #[tokio::test]
    async fn who_does_not_say_who_it_is_is_sent_no_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let haproxy = scripted(&path, &[("prompt\nshow info\n", "\n> Permission denied\n\n> ")]);
        let line = StatsSocket::new(&path).line().await;
        assert!(matches!(line, Err(SocketError::Unexpected { .. })), "{line:?}");
        assert_eq!(haproxy.await.unwrap(), "");
    }
}
