//! What HAProxy runs now.
//!
//! In: where HAProxy is. Out: [`Observed`]: the process in force, its servers, how many old workers live. An HAProxy
//! that does not run is a normal answer. Fails when somebody listens and does not answer usefully.

use std::path::Path;
use std::time::Duration;

use weir_scaling::Process;

use crate::config::Haproxy;
use crate::exchange::SocketError;
use crate::process_info::ProcessInfo;
use crate::servers_state::{ObservedServer, servers_state};
use crate::version::Version;

/// HAProxy as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Whether it runs.
    pub running: bool,
    /// The worker in force.
    pub process: Option<Process>,
    /// Its version.
    pub version: Option<Version>,
    /// Workers that only finish their sessions; `None` where that cannot be known (no master socket).
    pub old_workers: Option<usize>,
    /// The servers of the worker in force.
    pub servers: Vec<ObservedServer>,
}

/// A stopped HAProxy leaves its socket behind, and refuses as a master does that re-executes itself. The longer time
/// of a failing reload is not waited for: the next look comes soon.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at HAProxy: through the stats socket, or where there is none through the master socket.
pub async fn observe(haproxy: &Haproxy) -> Result<Observed, SocketError> {
    match current(haproxy).await {
        Ok(Some((info, servers))) => Ok(Observed {
            running: true,
            process: Some(info.process()),
            version: Some(info.version),
            old_workers: old_workers(haproxy).await,
            servers,
        }),
        Ok(None) => Ok(Observed::default()),
        Err(error) if error.nobody_listens() => Ok(Observed::default()),
        Err(error) => Err(error),
    }
}

async fn current(haproxy: &Haproxy) -> Result<Option<(ProcessInfo, Vec<ObservedServer>)>, SocketError> {
    if let Some(stats) = haproxy.stats() {
        let (info, reply) = stats.info_and("show servers state").await?;
        return Ok(Some((info, servers(stats.path(), &reply)?)));
    }
    let Some(master) = haproxy.master().map(|master| master.patience(PATIENCE)) else { return Ok(None) };
    let processes = master.show_proc().await?;
    let Some(worker) = processes.current() else { return Ok(None) };
    let info = master.worker_info(worker.pid).await?;
    let reply = master.read_worker(worker.pid, "show servers state").await?;
    Ok(Some((info, servers(master.path(), &reply)?)))
}

fn servers(path: &Path, reply: &str) -> Result<Vec<ObservedServer>, SocketError> {
    let problem = || SocketError::unexpected(path, "show servers state", "no table of servers in it", reply);
    servers_state(reply).ok_or_else(problem)
}

/// A master that does not answer leaves the number unknown: the worker answers, so HAProxy runs.
async fn old_workers(haproxy: &Haproxy) -> Option<usize> {
    let processes = haproxy.master()?.patience(PATIENCE).show_proc().await.ok()?;
    Some(processes.old_workers.len())
}
