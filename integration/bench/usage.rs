//! What another process has used: CPU time from `/proc` (Linux only: elsewhere it is not known), memory from `ps`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One tick of `/proc/PID/stat`: Linux counts in hundredths of a second on every machine that HAProxy is run on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Its own threads'.
    pub(crate) own: Duration,
    /// Of the programs that it ran and that have ended.
    pub(crate) children: Duration,
}

impl Cpu {
    /// `None` where there is no such process or no `/proc`.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::shown_in(Path::new(&format!("/proc/{pid}")))
    }

    /// Of the process or thread that this directory in `/proc` is about.
    pub(crate) fn shown_in(directory: &Path) -> Option<Self> {
        let stat = std::fs::read_to_string(directory.join("stat")).ok()?;
        // The program's name, in brackets, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut ticks = rest.split_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
        let mut next = || Some(TICK * ticks.next()?);
        let (user, system, children_user, children_system) = (next()?, next()?, next()?, next()?);
        Some(Self { own: user + system, children: children_user + children_system })
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            children: self.children.saturating_sub(before.children),
        }
    }
}

/// Resident memory in MiB.
pub(crate) fn resident(pid: u32) -> Option<f64> {
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(kib / 1024.0)
}
