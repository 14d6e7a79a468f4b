//! HAProxy's answers as the plan wants them.
//!
//! Pure: in, what the worker in force [told](weir_haproxy::Told); out, an [`Observation`]. A server that one of the two tables
//! lacks came or went between them: the next look shows it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use weir_haproxy::{Check, Level, Look, ObservedServer as Row, OperationalState, Told};
use weir_pools::plan::{Admin, Can, CheckState, Observed, ObservedServer};
use weir_scaling::{Process, ServerSample};

/// A look at the worker in force.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) process: Process,
    pub(crate) can: Can,
    pub(crate) look: Look,
    pub(crate) observed: Observed,
    /// What was to be read of a worker that is new to us.
    pub(crate) newcomer: Option<Newcomer>,
}

/// What there is to know of a worker once.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer {
    /// HAProxy's files as they lie on the disk, in load order.
    pub(crate) files: Vec<ConfigFile>,
    /// What the stats socket allows.
    pub(crate) level: Level,
    /// The files that HAProxy says it was started with, behind symbolic links.
    pub(crate) started_with: Option<Vec<PathBuf>>,
}

impl Newcomer {
    /// Where HAProxy was started with other files than those that are configured: both lists.
    pub(crate) fn other_files(&self) -> Option<(Vec<String>, Vec<String>)> {
        let configured: Vec<&PathBuf> = self.files.iter().map(|file| &file.real).collect();
        let started: Vec<&PathBuf> = self.started_with.as_ref()?.iter().collect();
        let shown = |paths: Vec<&PathBuf>| paths.into_iter().map(|path| path.display().to_string()).collect();
        (configured != started).then(|| (shown(started), shown(configured)))
    }
}

/// One of HAProxy's configuration files.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    /// The file itself, behind symbolic links.
    pub(crate) real: PathBuf,
    /// The output that is written there, if it is one of weir's.
    pub(crate) output: Option<usize>,
    pub(crate) text: Arc<str>,
    pub(crate) modified: SystemTime,
}

impl Observation {
    /// Joins the two tables of each backend.
    pub(crate) fn of(told: &Told, look: Look, newcomer: Option<Newcomer>) -> Self {
        let version = &told.info.version;
        let can = Can { version: (version.major, version.minor, version.patch) };
        Self { process: told.info.process(), can, observed: observed(told), look, newcomer }
    }
}

fn observed(told: &Told) -> Observed {
    let numbers: HashMap<&str, HashMap<&str, &ServerSample>> = told
        .backends
        .iter()
        .map(|backend| {
            (&*backend.name, backend.servers.iter().map(|server| (&*server.name, server)).collect())
        })
        .collect();
    let mut pools: BTreeMap<String, BTreeMap<String, ObservedServer>> = BTreeMap::new();
    for row in &told.servers {
        let number = numbers.get(&*row.backend).and_then(|servers| servers.get(&*row.name));
        if let Some(number) = number {
            let servers = pools.entry(row.backend.clone()).or_default();
            servers.insert(row.name.clone(), server(row, number));
        }
    }
    Observed { pools }
}

fn server(row: &Row, number: &ServerSample) -> ObservedServer {
    let is_fixed = row.fqdn.is_none() && row.port > 0;
    ObservedServer {
        id: row.id,
        address: row.socket_address().filter(|_| is_fixed),
        weight: u32::from(row.weight),
        maxconn: number.maxconn.and_then(|most| u32::try_from(most).ok()).unwrap_or(0),
        admin: admin(row),
        is_down: row.op_state == OperationalState::Stopped,
        check: match row.check {
            Check::Off => CheckState::None,
            Check::Pending => CheckState::Unknown,
            Check::Passed => CheckState::Passed,
            Check::Failed => CheckState::Failed,
        },
        sessions: number.sessions + number.queue,
        is_backup: number.backup,
    }
}

fn admin(row: &Row) -> Admin {
    match row.admin_state {
        state if state.maint() => Admin::Maint,
        state if state.drain() => Admin::Drain,
        _ => Admin::Ready,
    }
}
