//! A real HAProxy in master-worker mode on free ports in a directory of its own, ended by its process ID.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use weir_haproxy::{Attributes, Candidate, Completeness, Haproxy, observe, sample};
use weir_scaling::Sample;

/// How long anything may take that is waited for.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// A running HAProxy.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) haproxy: Haproxy,
    pub(crate) front: SocketAddr,
    pub(crate) process: Option<Child>,
    /// What it is started with beside what the test has.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// Where it is started; where the test runs by default.
    pub(crate) directory: Option<PathBuf>,
}

impl Rig {
    /// With the HAProxy of these tests; `None`, with a word, where there is none.
    pub(crate) fn new() -> Option<Self> {
        all().into_iter().next().map(Self::of)
    }

    /// With this HAProxy.
    pub(crate) fn of(binary: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let haproxy = Haproxy {
            binary,
            config: vec![at("haproxy.cfg")],
            stats_socket: Some(at("stats.sock")),
            master_socket: Some(at("master.sock")),
            ..Haproxy::default()
        };
        let (environment, directory) = (Vec::new(), None);
        Self { haproxy, front: free_port(), process: None, environment, directory, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A configuration with these lines in its frontend and its backend.
    pub(crate) fn text(&self, frontend: &str, backend: &str) -> String {
        format!(
            "global\n    stats socket {} mode 600 level admin\n    maxconn 200\n    hard-stop-after 20s\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 20s\n    timeout server 20s\n\
             frontend front\n    bind {}\n{frontend}    default_backend web\nbackend web\n{backend}",
            self.path("stats.sock").display(),
            self.front,
        )
    }

    pub(crate) fn write(&self, frontend: &str, backend: &str) {
        fs::write(self.path("haproxy.cfg"), self.text(frontend, backend)).unwrap();
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let master = format!("{},mode,600,level,admin", self.path("master.sock").display());
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new(&self.haproxy.binary);
        command.args(["-W", "-S", &master]);
        for path in &self.haproxy.config {
            command.arg("-f").arg(path);
        }
        command.env_remove("CARGO_MANIFEST_DIR").envs(self.environment.iter().copied());
        command.current_dir(self.directory.as_deref().unwrap_or(Path::new(".")));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        until("HAProxy answers", || async { observe(&self.haproxy).await.is_ok_and(|seen| seen.running) })
            .await;
    }

    pub(crate) async fn started(backend: &str) -> Option<Self> {
        let mut rig = Self::new()?;
        rig.write("", backend);
        rig.start().await;
        Some(rig)
    }

    /// One for each HAProxy that there is, running.
    pub(crate) async fn each(backend: &str) -> Vec<Self> {
        let mut rigs = Vec::new();
        for binary in all() {
            let mut rig = Self::of(binary);
            rig.write("", backend);
            rig.start().await;
            rigs.push(rig);
        }
        rigs
    }

    /// The reply of the stats socket to one line.
    pub(crate) async fn command(&self, line: &str) -> String {
        self.haproxy.stats().unwrap().command(line).await.unwrap()
    }

    pub(crate) async fn pid(&self) -> u32 {
        self.haproxy.stats().unwrap().show_info().await.unwrap().pid
    }

    /// Swaps a configuration in as weir does.
    pub(crate) fn swap(&self, text: &str) {
        let target = &self.haproxy.config[0];
        let candidate = Candidate::write(target, text.as_bytes(), &Attributes::default()).unwrap();
        candidate.expect("the text differs").swap().unwrap();
    }

    pub(crate) async fn samples(&self) -> Vec<Sample> {
        let reading = sample(&self.haproxy).await.unwrap();
        assert_eq!(reading.completeness, Completeness::Complete);
        reading.samples
    }
}

impl Drop for Rig {
    /// SIGTERM to the master ends its workers too.
    fn drop(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        if std::thread::panicking() {
            println!("HAProxy's log:\n{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        }
        let pid = i32::try_from(child.id()).unwrap();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        let _ = child.wait();
    }
}

/// The HAProxys to test with: what `WEIR_TEST_HAPROXY` names, or else the installed one and those that `make tools`
/// fetched. Says so on stderr where there is none.
pub(crate) fn all() -> Vec<PathBuf> {
    let named = std::env::var_os("WEIR_TEST_HAPROXY").map(PathBuf::from);
    if let Some(named) = named {
        assert!(runs(&named), "WEIR_TEST_HAPROXY: {} does not run", named.display());
        return vec![named];
    }
    let installed = ["haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].map(PathBuf::from);
    let installed = installed.into_iter().find(|binary| runs(binary));
    let found: Vec<_> = installed.into_iter().chain(fetched()).collect();
    if found.is_empty() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test").to_owned();
        // Not by `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "skipped: no haproxy (`make tools`): {test}");
    }
    found
}

fn fetched() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"haproxy-"))
    };
    let mut found: Vec<_> = entries.filter(|path| is_one(path) && runs(path)).collect();
    found.sort();
    found
}

fn runs(binary: &Path) -> bool {
    let status = Command::new(binary).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, predicate: impl Fn() -> F) {
    let wait = async {
        while !predicate().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
