//! One child process: its own process group, its output in a file, ended with its value.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::wait::wait_for;

/// A running child.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
    /// What asks it to end when its value is dropped, and how long it may take before it is killed.
    farewell: (Signal, Duration),
}

impl Process {
    /// Starts `command` in a process group of its own; stdout and stderr are appended to `log`, whose directory is made.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Self {
        std::fs::create_dir_all(log.parent().expect("a log is in a directory")).expect("it is made");
        let output = File::options().create(true).append(true).open(log).expect("the log opens");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log's descriptor is cloned"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {command:?}: {error}"));
        let farewell = (Signal::SIGTERM, Duration::from_secs(3));
        Self { name: name.to_owned(), child, log: log.to_owned(), ended: None, farewell }
    }

    /// Asked to end by `signal`, and killed only after `patience`.
    pub(crate) fn ending_by(mut self, signal: Signal, patience: Duration) -> Self {
        self.farewell = (signal, patience);
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child can be waited for");
        }
        self.ended
    }

    /// Sends `signal` to the child and everything in its group; nothing where it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exit().is_none() {
            let group = Pid::from_raw(i32::try_from(self.pid()).expect("a pid fits"));
            killpg(group, signal).expect("the child can be signalled");
        }
    }

    /// Sends `signal` and waits for the end.
    pub(crate) async fn end(&mut self, signal: Signal, deadline: Duration) -> ExitStatus {
        self.signal(signal);
        let what = format!("{} ends after {signal}", self.name);
        wait_for(&what, deadline, async || self.exit()).await
    }

    fn end_now(&mut self) {
        let (signal, patience) = self.farewell;
        self.signal(signal);
        let started = Instant::now();
        while self.exit().is_none() && started.elapsed() < patience {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.signal(Signal::SIGKILL);
    }

    fn print_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        // Not by `eprintln!`, which benches may not use, and which would be lost beside the panic's message.
        let mut stderr = std::io::stderr();
        let _ = writeln!(stderr, "--- {}: the end of its log\n{}\n---", self.name, tail.join("\n"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.print_log();
        }
    }
}

/// The program to use: what `variable` names, or `program` on PATH, or the first of `others` that is there.
pub(crate) fn find(variable: &str, program: &str, others: &[PathBuf]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(program));
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(|dir| Path::new(dir).join(program));
    let found = on_path.chain(usual).chain(others.iter().cloned()).find(|path| path.is_file());
    named.or(found)
}

/// Says on the real stderr (which the test harness does not swallow) that a test was skipped.
pub(crate) fn skipped(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: no {what}: {test}");
}
