//! Talking to the worker in force: commands, and a look at its servers, in one conversation.
//!
//! In: command lines and the process that they are for, and which backends to look at. Out: a [`Told`]: who answered, each command's
//! reply, the servers as they are after the commands; or that [another](Reached::Another) process answers, which is told nothing. All of
//! it comes from one process: a reload cannot come between. Fails with a [`SocketError`]; how many of the commands were carried
//! out is not known then.

use std::collections::BTreeSet;

use weir_scaling::{BackendSample, Process};

use crate::exchange::{SocketError, Then};
use crate::process_info::ProcessInfo;
use crate::servers_state::{ObservedServer, servers_state};
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

/// Who took the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The process that was meant.
    Meant(Told),
    /// Another one, which was sent no command: somebody reloaded.
    Another(ProcessInfo),
}

impl StatsSocket {
    /// Looks at the servers of the worker in force, whichever it is.
    pub async fn look(&self, look: &Look) -> Result<Told, SocketError> {
        let lines = [vec![WHO.to_owned()], look.lines()].concat();
        self.told(self.converse(&lines).await?, 0)
    }

    /// Has `worker` carry out `commands`, one line each, and looks at its servers. Who answers is asked first, in the same
    /// conversation: after a reload the socket leads to a worker that the commands were not meant for.
    pub async fn tell(
        &self,
        worker: Process,
        commands: &[String],
        look: &Look,
    ) -> Result<Reached, SocketError> {
        let looking = look.lines();
        let next = |replies: &[String]| {
            self.is_from(worker, replies).then(|| [commands, looking.as_slice()].concat())
        };
        self.tell_each(worker, &[&next], looking.len()).await
    }

    /// The same, with commands between `commands` and the look that depend on the replies to them. [`Told::replies`] has
    /// those to all.
    pub async fn tell_on(
        &self,
        worker: Process,
        commands: &[String],
        then: &(dyn Fn(&[String]) -> Vec<String> + Sync),
        look: &Look,
    ) -> Result<Reached, SocketError> {
        let looking = look.lines();
        let first = |replies: &[String]| self.is_from(worker, replies).then(|| commands.to_vec());
        let second = |replies: &[String]| {
            let said = replies.get(1..).unwrap_or_default();
            Some([then(said), looking.clone()].concat())
        };
        self.tell_each(worker, &[&first, &second], looking.len()).await
    }

    async fn tell_each(
        &self,
        worker: Process,
        then: &[Then<'_>],
        looks: usize,
    ) -> Result<Reached, SocketError> {
        let replies = self.converse_on(&[WHO.to_owned()], then).await?;
        self.reached(worker, replies, looks)
    }

    /// Whether it is this process that says who it is.
    fn is_from(&self, worker: Process, replies: &[String]) -> bool {
        self.who(replies).is_ok_and(|info| info.is(worker))
    }

    fn who(&self, replies: &[String]) -> Result<ProcessInfo, SocketError> {
        self.process_info(replies.first().map_or("", String::as_str))
    }

    /// What the replies say; the last `looks` of them are those to a look.
    fn reached(&self, worker: Process, replies: Vec<String>, looks: usize) -> Result<Reached, SocketError> {
        let info = self.who(&replies)?;
        if !info.is(worker) {
            return Ok(Reached::Another(info));
        }
        let commands = replies.len().saturating_sub(1 + looks);
        Ok(Reached::Meant(self.told(replies, commands)?))
    }

    /// The replies to the question who answers, to so many commands, and to a look.
    fn told(&self, replies: Vec<String>, commands: usize) -> Result<Told, SocketError> {
        let info = self.who(&replies)?;
        let mut replies = replies.into_iter().skip(1);
        let said = replies.by_ref().take(commands).collect();
        let (servers, backends) = self.tables(replies)?;
        Ok(Told { info, replies: said, servers, backends })
    }

    /// Reads pairs of tables: states, then statistics.
    fn tables(
        &self,
        mut replies: impl Iterator<Item = String>,
    ) -> Result<(Vec<ObservedServer>, Vec<BackendSample>), SocketError> {
        let (mut servers, mut backends) = (Vec::new(), Vec::new());
        while let (Some(states), Some(numbers)) = (replies.next(), replies.next()) {
            if states.starts_with("Can't find backend") {
                continue;
            }
            servers
                .extend(servers_state(&states).ok_or_else(|| self.no_table("show servers state", &states))?);
            backends.extend(statistics(&numbers).ok_or_else(|| self.no_table("show stat", &numbers))?);
        }
        Ok((servers, backends))
    }

    fn no_table(&self, command: &str, reply: &str) -> SocketError {
        SocketError::unexpected(self.path(), command, "no table of servers in it", reply)
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
            let reached = socket.tell(other, &commands(&["first"]), &Look::All).await.unwrap();
            assert!(matches!(reached, Reached::Another(info) if info.process() == MEANT));
            assert_eq!(haproxy.await.unwrap(), "quit\n");

            std::fs::remove_file(&path).unwrap();
            let haproxy = scripted(&path, &[ASKED]);
            let then = |_: &[String]| commands(&["second"]);
            let reached = socket.tell_on(other, &commands(&["first"]), &then, &Look::All).await.unwrap();
            assert!(matches!(reached, Reached::Another(_)));
            assert_eq!(haproxy.await.unwrap(), "quit\n");
        }
    }

    #[tokio::test]
    async fn the_worker_that_is_meant_is_sent_one_command_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let haproxy = scripted(&path, &[ASKED, ("a\nb\n", "no\n\n> \n> "), ("c\nquit\n", "yes\n\n> ")]);
        let then = |replies: &[String]| {
            assert_eq!(replies, ["no\n", ""]);
            commands(&["c"])
        };
        let socket = StatsSocket::new(&path);
        let reached = socket.tell_on(MEANT, &commands(&["a", "b"]), &then, &at_none()).await.unwrap();
        let Reached::Meant(told) = reached else { panic!("{reached:?}") };
        assert_eq!((told.info.process(), told.replies), (MEANT, commands(&["no\n", "", "yes\n"])));
        assert_eq!(haproxy.await.unwrap(), "");
    }

    #[tokio::test]
    async fn who_does_not_say_who_it_is_is_sent_no_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let haproxy = scripted(&path, &[("prompt\nshow info\n", "\n> Permission denied\n\n> ")]);
        let told = StatsSocket::new(&path).tell(MEANT, &commands(&["a"]), &at_none()).await;
        assert!(matches!(told, Err(SocketError::Unexpected { .. })), "{told:?}");
        assert_eq!(haproxy.await.unwrap(), "quit\n");
    }
}
