//! What a running HAProxy can do, through the socket that we have.
//!
//! In: where HAProxy is. Out: [`Capabilities`] of the worker in force, from its version and from what it answers to a
//! few commands that change nothing. So they are to be read at start and after each reload, which may bring another
//! binary. Fails when nobody answers usefully; what HAProxy does not know, or does not allow, it cannot do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use weir_scaling::Process;

use crate::config::Haproxy;
use crate::exchange::SocketError;
use crate::master_socket::MasterSocket;
use crate::process_info::ProcessInfo;
use crate::version::Version;

/// What is asked, beside `show info`. Each line of the answers is known by how it begins, whatever else a version prints.
/// `add server help` names no server: with a name in it, versions before 3.2 would add one.
const COMMANDS: [&str; 6] = [
    "show cli level",
    "show env HAPROXY_CFGFILES",
    "show pools match buffer",
    "help set ssl cert",
    "wait -h",
    "add server help",
];

/// HAProxy's own `tune.bufsize`, where it is not configured.
const DEFAULT_BUFSIZE: usize = 16_384;
/// What a reported size may be too large by, and the end of the line.
const ROUNDING: usize = 32;

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The worker that said so.
    pub process: Process,
    /// Its version.
    pub version: Version,
    /// What the socket allows. Everything that changes something needs [`Level::Admin`].
    pub level: Level,
    /// Whether `add server` and `del server` work: from 2.6 on. 2.4 and 2.5 want `experimental-mode` first.
    pub dynamic_servers: bool,
    /// The options that `add server` takes; `None` before 3.2, which does not list them.
    pub add_server_options: Option<BTreeSet<String>>,
    /// Whether `wait TIME srv-removable BACKEND/SERVER` works: from 3.0 on.
    pub wait_removable: bool,
    /// Whether certificates and crt-lists can be changed (`set ssl cert`): a build with OpenSSL, from 2.2 on.
    pub certificates: bool,
    /// `tune.bufsize` in bytes, rounded up to 16. `None` where HAProxy keeps other things of the same size in one pool
    /// with the buffers, under their name (65536), or where it may not be asked.
    pub bufsize: Option<usize>,
    /// The files that the master was started with, in load order, those of directories one by one, written as on its
    /// command line: relative to its working directory. `None` where it does not say. A `;` in a path parts it in two.
    pub config_files: Option<Vec<PathBuf>>,
}

/// What a socket allows, from its `level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// To read statistics.
    User,
    /// To read everything. The level of a socket that names none.
    Operator,
    /// To change things.
    Admin,
}

impl Capabilities {
    /// How long a line of commands may be on either socket, in bytes: a little less than half the buffer.
    ///
    /// 3.2 refuses a line of `tune.bufsize` or more, 3.0 a command one byte shorter. 2.6 does worse: a single command
    /// longer than `tune.bufsize` less `tune.maxrewrite` is never answered, and takes one of the socket's 10 connections
    /// away until the next reload. Half is what `tune.maxrewrite` is at most. A master takes 15,359 bytes at most, and
    /// less where the buffer is small, but no more where it is large.
    pub fn longest_line(&self) -> usize {
        (self.bufsize.unwrap_or(DEFAULT_BUFSIZE).min(DEFAULT_BUFSIZE) / 2).saturating_sub(ROUNDING)
    }

    /// Reads the answers to the commands, together.
    fn parse(info: &ProcessInfo, replies: &str) -> Self {
        let lines = || replies.lines().map(str::trim_end);
        let starts = |start: &str| lines().find_map(|line| line.strip_prefix(start));
        let add_server_options = options(lines());
        Self {
            process: info.process(),
            version: info.version.clone(),
            level: lines().find_map(Level::parse).unwrap_or(Level::User),
            dynamic_servers: add_server_options.is_some() || starts("Require 'backend/server'").is_some(),
            add_server_options,
            wait_removable: lines().any(|line| line.trim_start().starts_with("- srv-removable ")),
            certificates: starts("  set ssl cert ").is_some(),
            bufsize: starts("  - Pool buffer (").and_then(size),
            config_files: starts("HAPROXY_CFGFILES=")
                .map(|list| list.split(';').map(PathBuf::from).collect()),
        }
    }
}

impl Level {
    fn parse(line: &str) -> Option<Self> {
        let levels = [("user", Self::User), ("operator", Self::Operator), ("admin", Self::Admin)];
        levels.into_iter().find_map(|(word, level)| (line == word).then_some(level))
    }
}

/// One word a line, from the heading to the next blank line.
fn options<'a>(lines: impl Iterator<Item = &'a str>) -> Option<BTreeSet<String>> {
    let mut from =
        lines.skip_while(|line| !line.starts_with("List of keywords supported for dynamic server"));
    from.next()?;
    Some(from.take_while(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Reads "16384 bytes) : 4 allocated …".
fn size(text: &str) -> Option<usize> {
    text.split_once(" bytes)")?.0.parse().ok()
}

/// Asks the worker in force: on the stats socket, or where there is none through the master.
pub async fn capabilities(haproxy: &Haproxy) -> Result<Capabilities, SocketError> {
    let (info, replies) = match (haproxy.stats(), haproxy.master()) {
        (Some(stats), _) => stats.info_and(&COMMANDS.join(";")).await?,
        (None, Some(master)) => through_master(&master).await?,
        (None, None) => return Err(SocketError::NotConfigured),
    };
    Ok(Capabilities::parse(&info, &replies))
}

/// One command at a time: behind a `;` a command would be the master's own.
async fn through_master(master: &MasterSocket) -> Result<(ProcessInfo, String), SocketError> {
    let processes = master.show_proc().await?;
    let no_worker = || SocketError::unexpected(master.path(), "show proc", "no worker is listed", "");
    let pid = processes.current().ok_or_else(no_worker)?.pid;
    let info = master.worker_info(pid).await?;
    let mut replies = String::new();
    for command in COMMANDS {
        replies += &master.read_worker(pid, command).await?;
    }
    Ok((info, replies))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn parsed(version: &str, replies: &str) -> Capabilities {
        let info = format!("Version: {version}\nPid: 7\nStart_time_sec: 9\n");
        Capabilities::parse(&ProcessInfo::parse(&info, UNIX_EPOCH).unwrap(), replies)
    }

    const TWO_SIX: &str = "\
admin

HAPROXY_CFGFILES=/etc/haproxy/haproxy.cfg;/etc/haproxy/conf.d/10 a.cfg

Dumping pools usage. Use SIGQUIT to flush them.
  - Pool h2s (184 bytes) : 19 allocated (3496 bytes), 19 used (~3 by thread caches), 0 failures
  - Pool buffer (32768 bytes) : 4 allocated (131072 bytes), 4 used (~2 by thread caches), 0 failures
  - Pool dns_msg_buf (65560 bytes) : 0 allocated (0 bytes), 0 used
Total: 2 pools

The following commands are valid at this level:
  set ssl cert <certfile> <payload>       : replace a certificate file
  help [<command>]                        : list matching or all commands

Unknown command, but maybe one of the following ones is a better match:
  get var <name>                          : retrieve contents of a process-wide variable
  user                                    : lower the level of the current CLI session to user

Require 'backend/server'.
";

    #[test]
    fn reads_what_2_6_answers() {
        let can = parsed("2.6.12-1", TWO_SIX);
        assert_eq!((can.level, can.bufsize, can.longest_line()), (Level::Admin, Some(32_768), 8160));
        assert!(can.dynamic_servers && can.certificates && !can.wait_removable);
        assert_eq!(can.add_server_options, None);
        let files = ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d/10 a.cfg"].map(PathBuf::from);
        assert_eq!(can.config_files.as_deref(), Some(&files[..]));
    }

    #[test]
    fn a_list_of_options_ends_at_the_blank_line() {
        let list = "List of keywords supported for dynamic server:\nssl\ncookie\n\n\nUsage: wait {-h|<duration>}\n    - srv-removable <px>/<sv> : wait\n";
        let can = parsed("3.2.26", list);
        assert!(can.dynamic_servers && can.wait_removable);
        assert_eq!(can.add_server_options.unwrap().into_iter().collect::<Vec<_>>(), ["cookie", "ssl"]);
    }

    #[test]
    fn what_is_refused_or_unknown_cannot_be_done() {
        let denied = "operator\n\nVariable not found\n\nPermission denied\n\nPermission denied\n\n";
        let can = parsed("2.6.12", denied);
        assert_eq!((can.level, can.config_files.as_ref(), can.bufsize), (Level::Operator, None, None));
        assert!(!can.dynamic_servers && !can.certificates && !can.wait_removable);
        assert_eq!(can.longest_line(), 8160);
        assert_eq!(parsed("2.2.9", "Permission denied\n").level, Level::User);
    }

    #[tokio::test]
    async fn without_a_socket_it_says_so() {
        let error = capabilities(&Haproxy::default()).await.unwrap_err();
        assert!(matches!(error, SocketError::NotConfigured), "{error}");
    }
}
