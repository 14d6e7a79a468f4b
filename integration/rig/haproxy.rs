//! A real HAProxy in master-worker mode, as a service manager would run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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

impl Haproxy {
    /// Starts it with `dir/haproxy.cfg` and waits until `dir/stats.sock` and `dir/master.sock` answer.
    pub(crate) async fn start(dir: &Path) -> Self {
        let binary = binary().expect("the caller asked for it");
        let mut command = Command::new(binary);
        let master = format!("{},level,admin", dir.join("master.sock").display());
        command.args(["-W", "-S", &master, "-f"]).arg(dir.join("haproxy.cfg")).current_dir(dir);
        let process = Process::start("haproxy", command, &dir.join("haproxy.log"));
        let (stats, master) = (dir.join("stats.sock"), dir.join("master.sock"));
        let mut haproxy = Self { stats, master, process };
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
            ask(&self.master, "show proc").await
        })
        .await;
    }

    /// One command on the stats socket; `None` where nobody answers just now.
    pub(crate) async fn command(&self, line: &str) -> Option<String> {
        ask(&self.stats, line).await
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
}

async fn ask(socket: &Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.ok()?.ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// Where the HAProxy to test with is; says so on stderr where there is none.
pub(crate) fn binary() -> Option<PathBuf> {
    let found = find("WEIR_TEST_HAPROXY", "haproxy", &[]);
    if found.is_none() {
        skipped("haproxy (`make tools`)");
    }
    found
}
