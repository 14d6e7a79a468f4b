//! Who answers: HAProxy's `show info`.
//!
//! In: the reply and the time it came. Out: a [`ProcessInfo`]. Fails where no `Pid` or `Version` is in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_scaling::Process;

use crate::version::Version;

/// One worker process, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its process ID.
    pub pid: u32,
    /// Its version: after an upgrade old workers have another than the current one.
    pub version: Version,
    /// How long it has run.
    pub uptime: Duration,
    /// Seconds since the epoch at which it started.
    pub started: u64,
    /// Whether it only finishes its sessions.
    pub stopping: bool,
    /// Connections it may have at once (`Maxconn`).
    pub maxconn: u64,
    /// Connections it has (`CurrConns`).
    pub connections: u64,
    /// Share of the last second in which it had nothing to do, in percent (`Idle_pct`).
    pub idle_percent: Option<u64>,
    /// The name it gives itself (`node`).
    pub node: Option<String>,
}

/// What `show info` lacks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InfoProblem {
    /// A field without which there is no telling who answered.
    #[error("there is no usable `{0}` in it")]
    Field(&'static str),
}

impl ProcessInfo {
    /// Reads the reply that came at `now`.
    pub(crate) fn parse(reply: &str, now: SystemTime) -> Result<Self, InfoProblem> {
        let fields = Fields::read(reply);
        let number = |value: Option<&str>| value.and_then(|value| value.trim().parse::<u64>().ok());
        let pid = number(fields.pid).and_then(|pid| pid.try_into().ok()).ok_or(InfoProblem::Field("Pid"))?;
        let version = fields.version.and_then(Version::parse);
        let uptime = Duration::from_secs(number(fields.uptime).unwrap_or(0));
        Ok(Self {
            pid,
            version: version.ok_or(InfoProblem::Field("Version"))?,
            uptime,
            started: number(fields.started)
                .unwrap_or_else(|| epoch_seconds(now).saturating_sub(uptime.as_secs())),
            stopping: number(fields.stopping).is_some_and(|value| value != 0),
            maxconn: number(fields.maxconn).unwrap_or(0),
            connections: number(fields.connections).unwrap_or(0),
            idle_percent: number(fields.idle_percent),
            node: fields.node.map(str::to_owned).filter(|node| !node.is_empty()),
        })
    }

    /// What tells this process from any other. HAProxy prints its start time from 2.5 on; before, it is computed from
    /// the uptime and may be off by one second.
    pub fn process(&self) -> Process {
        Process { node: 0, pid: self.pid, started: self.started }
    }

    /// Whether it is this process. A start that is computed is believed to two seconds: no process ID is used again so soon.
    pub fn is(&self, process: Process) -> bool {
        let doubt = if self.version.at_least(2, 5) { 0 } else { 2 };
        self.pid == process.pid && self.started.abs_diff(process.started) <= doubt
    }
}

/// Those of some eighty fields that are used, as they are printed.
#[derive(Default)]
struct Fields<'a> {
    pid: Option<&'a str>,
    version: Option<&'a str>,
    uptime: Option<&'a str>,
    started: Option<&'a str>,
    stopping: Option<&'a str>,
    maxconn: Option<&'a str>,
    connections: Option<&'a str>,
    idle_percent: Option<&'a str>,
    node: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Goes through the reply once: it is read after every change.
    fn read(reply: &'a str) -> Self {
        let mut fields = Self::default();
        for (name, value) in lines(reply).filter_map(name_and_value) {
            let field = match name {
                "Pid" => &mut fields.pid,
                "Version" => &mut fields.version,
                "Uptime_sec" => &mut fields.uptime,
                "Start_time_sec" => &mut fields.started,
                "Stopping" => &mut fields.stopping,
                "Maxconn" => &mut fields.maxconn,
                "CurrConns" => &mut fields.connections,
                "Idle_pct" => &mut fields.idle_percent,
                "node" => &mut fields.node,
                _ => continue,
            };
            field.get_or_insert(value);
        }
        fields
    }
}

/// The lines. There are eighty, and they come with every change.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.scan(0, |begin, end| Some(&text[std::mem::replace(begin, end + 1)..end]))
}

/// `NAME: VALUE`.
fn name_and_value(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_at(line.bytes().position(|byte| byte == b':')?);
    Some((name, value.strip_prefix(": ")?))
}

fn epoch_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_taken_or_computed() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let text =
            "Name: HAProxy\nVersion: 2.2.9-1\nPid: 7\nUptime_sec: 40\nMaxconn: 200\nStopping: 1\nnode: lb1\n";
        let info = ProcessInfo::parse(text, now).unwrap();
        assert_eq!(info.process(), Process { node: 0, pid: 7, started: 960 });
        assert!(info.stopping && info.maxconn == 200 && info.node.as_deref() == Some("lb1"));
        let info = ProcessInfo::parse(&format!("{text}Start_time_sec: 959\n"), now).unwrap();
        assert_eq!(info.started, 959);
    }

    #[test]
    fn a_process_is_known_again_although_its_start_was_computed() {
        let text = |version, pid| format!("Version: {version}\nPid: {pid}\nUptime_sec: 40\n");
        let info = |version, pid, now| {
            ProcessInfo::parse(&text(version, pid), UNIX_EPOCH + Duration::from_secs(now)).unwrap()
        };
        let old = info("2.4.22", 7, 1_000).process();
        assert!(info("2.4.22", 7, 1_001).is(old));
        assert!(!info("2.4.22", 8, 1_000).is(old) && !info("2.4.22", 7, 1_003).is(old));
        let new = info("2.6.12", 7, 1_000).process();
        assert!(info("2.6.12", 7, 1_000).is(new));
        assert!(!info("2.6.12", 8, 1_000).is(new) && !info("2.6.12", 7, 1_001).is(new));
    }

    #[test]
    fn a_reply_without_a_process_is_refused() {
        assert!(ProcessInfo::parse("Unknown command, but maybe one of …", UNIX_EPOCH).is_err());
        assert!(ProcessInfo::parse("Pid: x\nVersion: 2.6\n", UNIX_EPOCH).is_err());
        let early = ProcessInfo::parse("Pid: 1\nVersion: 2.6.1\nUptime_sec: 99\n", UNIX_EPOCH);
        assert_eq!(early.unwrap().started, 0, "an uptime before the epoch does not wrap");
    }
}
