//! HAProxy's processes, as its master lists them: `show proc`.
//!
//! In: the reply, of 2.x or 3.x, read by its column names. Out: [`Processes`]. A reply without a master is `None`:
//! that is what the master gives while it re-executes itself.

use std::time::Duration;

use crate::version::Version;

/// The master and its workers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processes {
    /// The master's process ID. It changes when somebody starts HAProxy anew, so it must not be kept.
    pub master: u32,
    /// Reloads since the master started, failed ones included.
    pub reloads: u32,
    /// Reloads that failed since the last that went well.
    pub failed: u32,
    /// The workers in force: one, except for some milliseconds. After a failed reload it is still the one before.
    pub workers: Vec<Worker>,
    /// Workers that only finish their sessions.
    pub old_workers: Vec<Worker>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its process ID.
    pub pid: u32,
    /// Reloads that were tried since it was started.
    pub age: u32,
    /// How long it has run, to the second.
    pub uptime: Duration,
    /// Its version.
    pub version: Option<Version>,
}

impl Processes {
    /// Reads the reply to `show proc`.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let mut columns = Vec::new();
        let mut old = false;
        let mut processes = Self::default();
        for line in reply.lines() {
            match line.strip_prefix('#').map(str::trim_start) {
                Some(header) if header.starts_with('<') => {
                    columns = header.split_ascii_whitespace().collect();
                }
                Some(section) => old = section.starts_with("old"),
                None => processes.add(line, &columns, old),
            }
        }
        (processes.master != 0).then_some(processes)
    }

    /// The worker in force, the youngest where a reload is under way.
    pub fn current(&self) -> Option<&Worker> {
        self.workers.iter().min_by_key(|worker| worker.age)
    }

    /// Every worker: the ones in force, then the old ones.
    pub fn all(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().chain(&self.old_workers)
    }

    fn add(&mut self, line: &str, columns: &[&str], old: bool) {
        let (line, failed) = without_failed(line);
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        let cell = |name: &str| {
            columns.iter().position(|column| *column == name).and_then(|at| cells.get(at).copied())
        };
        let number = |name: &str| cell(name).and_then(|text| text.parse::<u32>().ok());
        let (Some(pid), Some(kind)) = (number("<PID>"), cell("<type>")) else { return };
        if kind == "master" {
            (self.master, self.reloads) = (pid, number("<reloads>").unwrap_or(0));
            self.failed = failed.unwrap_or(0);
        } else if kind == "worker" {
            let uptime = cell("<uptime>").and_then(uptime).unwrap_or_default();
            let version = cell("<version>").and_then(Version::parse);
            let worker = Worker { pid, age: number("<reloads>").unwrap_or(0), uptime, version };
            if old { &mut self.old_workers } else { &mut self.workers }.push(worker);
        }
    }
}

/// The line without the master's `[failed: N]`, which stands inside a column, and that number.
fn without_failed(line: &str) -> (String, Option<u32>) {
    let found = line.split_once("[failed:").and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
    match found {
        Some((before, (number, behind))) => (format!("{before} {behind}"), number.trim().parse().ok()),
        None => (line.to_owned(), None),
    }
}

/// Reads "1d02h03m04s".
fn uptime(text: &str) -> Option<Duration> {
    let (days, rest) = text.split_once('d')?;
    let (hours, rest) = rest.split_once('h')?;
    let (minutes, rest) = rest.split_once('m')?;
    let part = |text: &str| text.parse::<u64>().ok();
    let hours = part(days)? * 24 + part(hours)?;
    Some(Duration::from_secs((hours * 60 + part(minutes)?) * 60 + part(rest.strip_suffix('s')?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_SIX: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      
18235           master          12345 [failed: 12] 1d02h03m04s     2.6.12-1+deb12u4
# workers
18376           worker          1               0d00h00m01s     2.6.12-1+deb12u4
# old workers
18238           worker          4               0d00h00m02s     2.6.12-1+deb12u4
18001           worker          9               9d00h00m00s     2.4.0
# programs
17              dataplane       0               0d00h00m00s     -

";

    #[test]
    fn reads_what_2_6_prints() {
        let processes = Processes::parse(TWO_SIX).unwrap();
        assert_eq!((processes.master, processes.reloads, processes.failed), (18235, 12345, 12));
        assert_eq!(processes.current().unwrap().pid, 18376);
        assert_eq!(processes.old_workers.iter().map(|worker| worker.pid).collect::<Vec<_>>(), [18238, 18001]);
        assert_eq!(processes.old_workers[1].uptime, Duration::from_hours(216));
        assert_eq!(processes.all().count(), 3);
    }

    #[test]
    fn columns_may_move_and_be_added() {
        let text = "#<type> <PID> <new> <reloads> <uptime> <version>\nmaster 5 x 3 0d00h00m00s 3.2.26\n# workers\nworker 6 x 0 0d00h00m07s 3.2.26-1\n";
        let processes = Processes::parse(text).unwrap();
        assert_eq!((processes.master, processes.reloads, processes.failed), (5, 3, 0));
        assert_eq!((processes.workers[0].pid, processes.workers[0].uptime.as_secs()), (6, 7));
    }

    #[test]
    fn without_a_master_there_is_nothing() {
        assert_eq!(Processes::parse(""), None);
        assert_eq!(Processes::parse("Unknown command\n"), None);
    }
}
