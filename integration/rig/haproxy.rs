//! A real HAProxy in master-worker mode, as a service manager would run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::process::{Process, find, skipped};
use super::wait_for;

/// A running HAProxy.
pub(crate) struct Haproxy {
    stats: PathBuf,
    master: PathBuf,
    process: Process,
}

/// A server as `show servers state` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// `srv_op_state`: 0 is down.
    pub(crate) operational: u32,
    /// `srv_admin_state`, a mask.
    pub(crate) admin: u32,
    /// `srv_uweight`.
    pub(crate) weight: u32,
}

impl State {
    /// Neither in maintenance nor drained.
    pub(crate) fn is_ready(self) -> bool {
        self.admin == 0
    }

    /// In maintenance that was set at run time.
    pub(crate) fn is_in_maint(self) -> bool {
        self.admin & 0x01 != 0
    }

    /// Drained at run time.
    pub(crate) fn is_drained(self) -> bool {
        self.admin & 0x08 != 0
    }
}

impl Haproxy {
    /// Starts it with `dir/haproxy.cfg` and waits until `dir/stats.sock` and `dir/master.sock` answer.
    pub(crate) async fn start(dir: &Path) -> Self {
        let binary = binary().expect("the caller asked for it");
        let mut command = Command::new(binary);
        let master = dir.join("master.sock");
        command.args(["-W", "-S", &format!("{},level,admin", master.display()), "-f"]);
        command.arg(dir.join("haproxy.cfg")).current_dir(dir);
        let process = Process::start("haproxy", command, &dir.join("logs/haproxy.log"));
        let mut haproxy = Self { stats: dir.join("stats.sock"), master, process };
        // Not sooner: until then SIGUSR2 does not reload it, but ends it.
        let pid_file = dir.join("haproxy.pid");
        let _ = std::fs::remove_file(&pid_file);
        haproxy.wait_up().await;
        std::fs::write(pid_file, haproxy.process.pid().to_string()).expect("written");
        haproxy
    }

    async fn wait_up(&mut self) {
        wait_for("HAProxy answers", Duration::from_secs(10), async || {
            assert!(self.process.exit().is_none(), "HAProxy ended:\n{}", self.process.log());
            self.command("show info").await?;
            // A master that has started its worker re-executes itself, and answers nobody meanwhile.
            exchange(&self.master, "show proc").await
        })
        .await;
    }

    /// SIGKILL to the master and its workers.
    pub(crate) async fn kill(&mut self) {
        self.process.end(Signal::SIGKILL, Duration::from_secs(10)).await;
    }

    /// One command on the stats socket; `None` where nobody answers just now.
    pub(crate) async fn command(&self, line: &str) -> Option<String> {
        exchange(&self.stats, line).await
    }

    /// A reload as a person does it: `reload` on the master socket. Returns when another worker answers.
    pub(crate) async fn reload(&self) {
        let before = self.worker().await;
        // For some milliseconds after a reload the master does not listen.
        wait_for("the master takes the command", Duration::from_secs(10), async || {
            say(UnixStream::connect(&self.master).await.ok()?, "reload").await
        })
        .await;
        wait_for("another worker answers", Duration::from_secs(10), async || {
            self.worker().await.filter(|worker| Some(*worker) != before)
        })
        .await;
    }

    /// The process ID of the worker that answers.
    pub(crate) async fn worker(&self) -> Option<u32> {
        self.info("Pid: ").await
    }

    /// Connections that the worker has taken so far, those of its sockets too.
    pub(crate) async fn connections(&self) -> Option<u32> {
        self.info("CumConns: ").await
    }

    async fn info(&self, field: &str) -> Option<u32> {
        let info = self.command("show info").await?;
        info.lines().find_map(|line| line.strip_prefix(field))?.trim().parse().ok()
    }

    /// The servers of a backend and their status (`UP`, `DOWN`, `MAINT`, `no check`, …).
    pub(crate) async fn servers(&self, backend: &str) -> Option<BTreeMap<String, String>> {
        let table = self.command("show stat -1 4 -1").await?;
        let head: Vec<&str> = table.lines().next()?.trim_start_matches("# ").split(',').collect();
        let column = |name| head.iter().position(|title| *title == name);
        let (pool, server, status) = (column("pxname")?, column("svname")?, column("status")?);
        let rows = table.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let ours = rows.filter(|row| row.first().is_some_and(|_| row.get(pool) == Some(&backend)));
        Some(ours.map(|row| (row[server].to_owned(), row[status].to_owned())).collect())
    }

    /// Waits until a server has this status.
    pub(crate) async fn wait_status(&self, backend: &str, server: &str, status: &str, deadline: Duration) {
        wait_for(&format!("{backend}/{server} is {status}"), deadline, async || {
            (self.servers(backend).await?.get(server)? == status).then_some(())
        })
        .await;
    }

    /// The servers of a backend and what was set on them.
    pub(crate) async fn states(&self, backend: &str) -> Option<BTreeMap<String, State>> {
        let table = self.command(&format!("show servers state {backend}")).await?;
        let mut lines = table.lines().skip_while(|line| !line.starts_with("# "));
        let head: Vec<&str> = lines.next()?.trim_start_matches("# ").split(' ').collect();
        let column = |name| head.iter().position(|title| *title == name);
        let name = column("srv_name")?;
        let numbers = [column("srv_op_state")?, column("srv_admin_state")?, column("srv_uweight")?];
        let state = |line: &str| {
            let row: Vec<&str> = line.split(' ').collect();
            let [operational, admin, weight] =
                numbers.map(|at| row.get(at).and_then(|number| number.parse().ok()));
            let state = State { operational: operational?, admin: admin?, weight: weight? };
            Some((row[name].to_owned(), state))
        };
        Some(lines.filter_map(state).collect())
    }

    /// One server of a backend.
    pub(crate) async fn state(&self, backend: &str, server: &str) -> Option<State> {
        self.states(backend).await?.get(server).copied()
    }

    /// Waits until the backend's servers are exactly `wanted`, whatever their status.
    pub(crate) async fn wait_servers(&self, backend: &str, wanted: &[String], deadline: Duration) {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        let what = format!("servers of {backend} are {wanted:?}");
        wait_for(&what, deadline, async || {
            let servers: Vec<String> = self.servers(backend).await?.into_keys().collect();
            (servers == wanted).then_some(())
        })
        .await;
    }

    /// Waits until a server is what `predicate` says; its state then. One that is not there is none.
    pub(crate) async fn wait_state(
        &self,
        backend: &str,
        server: &str,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(State) -> bool,
    ) -> State {
        wait_for(&format!("{server} is {what}"), deadline, async || {
            self.state(backend, server).await.filter(|state| predicate(*state))
        })
        .await
    }
}

pub(crate) async fn exchange(socket: &Path, line: &str) -> Option<String> {
    let stream = UnixStream::connect(socket).await.ok()?;
    say(stream, line).await.filter(|answer| !answer.is_empty())
}

/// The answer may be empty: the master ends its connections when it re-executes itself.
async fn say(mut stream: UnixStream, line: &str) -> Option<String> {
    stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
    // The master socket answers for ever otherwise.
    stream.shutdown().await.ok()?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.ok()?.ok()?;
    Some(answer)
}

/// Where the HAProxy to test with is; says so on stderr where there is none.
pub(crate) fn binary() -> Option<PathBuf> {
    let found = find("WEIR_TEST_HAPROXY", "haproxy", &[]);
    if found.is_none() {
        skipped("haproxy (`make tools`)");
    }
    found
}
