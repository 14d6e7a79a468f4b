//! Talking to the worker in force: commands, and a look at its servers, in one conversation.
//!
//! In: command lines, and which backends to look at. Out: a [`Told`]: who answered, each command's reply, the servers as they are
//! after the commands. All of it comes from one process: a reload cannot come between. Fails with a [`SocketError`]; how many of the
//! commands were carried out is not known then.

use std::collections::BTreeSet;

use weir_scaling::BackendSample;

use crate::exchange::SocketError;
use crate::process_info::ProcessInfo;
use crate::servers_state::{ObservedServer, servers_state};
use crate::statistics::statistics;
use crate::stats_socket::StatsSocket;

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

impl StatsSocket {
    /// Has the worker in force carry out `commands`, one line each, and looks at its servers.
    pub async fn tell(&self, commands: &[String], look: &Look) -> Result<Told, SocketError> {
        let lines = [commands, &look.lines()].concat();
        self.told(self.converse(&lines).await?, commands.len())
    }

    /// The same, with commands between `commands` and the look that depend on the replies to them. [`Told::replies`] has
    /// those to all.
    pub async fn tell_on(
        &self,
        commands: &[String],
        then: &(dyn Fn(&[String]) -> Vec<String> + Sync),
        look: &Look,
    ) -> Result<Told, SocketError> {
        let looking = look.lines();
        let next = |replies: &[String]| [then(replies), looking.clone()].concat();
        let replies = self.converse_on(commands, &next).await?;
        let told = replies.len().saturating_sub(looking.len());
        self.told(replies, told)
    }

    /// The replies to so many commands, and to a look.
    fn told(&self, replies: Vec<String>, commands: usize) -> Result<Told, SocketError> {
        let mut replies = replies.into_iter();
        let said = replies.by_ref().take(commands).collect();
        let info = self.process_info(&replies.next().unwrap_or_default())?;
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
    /// The commands of a look: who answers, then the tables. What changes something goes before: it is in force sooner.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["show info".to_owned()];
        match self {
            Self::All => lines.extend(["show servers state".to_owned(), "show stat -1 6 -1".to_owned()]),
            Self::Backends(names) => {
                for name in names {
                    lines.extend([format!("show servers state {name}"), format!("show stat {name} 6 -1")]);
                }
            }
        }
        lines
    }
}
