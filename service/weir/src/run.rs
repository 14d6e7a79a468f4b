//! `weir run`: every part, wired together.
//!
//! Only a configuration that is wrong, or what weir must own and cannot get (its state directory, its sockets), ends
//! the start. Everything else is waited for. Ends on SIGTERM or SIGINT: what is being written is finished, the lock is
//! let go of, within five seconds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_consul::{Health, Leadership, LockOptions, Reach};
use weir_nomad::policies;
use weir_pools::{Catalogue, Query};

use crate::config::{Config, Environment};
use crate::journal::{Journal, Record};
use crate::metrics::Metrics;
use crate::pool_loop::{self, Handle, Inbox};
use crate::sampler::{self, Taken};
use crate::sources::{self, Watched};
use crate::status::{LeaderStatus, NomadStatus, ScalingStatus};
use crate::units::{Unit, haproxy, units};
use crate::views::Views;
use crate::{clients, control, http, interest, logging, scale_loop, zero};

/// How long the parts have to end.
const GRACE: Duration = Duration::from_millis(4500);
/// How often Nomad is asked whether it answers at all: a blocking query that hangs would tell only after a minute.
const PROBE: Duration = Duration::from_secs(5);

/// Runs until a signal ends it.
pub(crate) async fn run(config: Config, environment: Environment) -> anyhow::Result<()> {
    logging::start(&config.log);
    let cancel = CancellationToken::new();
    let tracker = TaskTracker::new();
    let mut ends = signals()?;
    let daemon = Daemon::start(&config, Arc::new(environment), &cancel, &tracker).await?;
    tracing::info!("weir {} runs", env!("CARGO_PKG_VERSION"));
    ends.recv().await;
    tracing::info!("ending");
    cancel.cancel();
    tracker.close();
    daemon.end(&tracker).await;
    Ok(())
}

/// A channel that gets a message at the first signal; the second ends the process at once.
fn signals() -> anyhow::Result<tokio::sync::mpsc::Receiver<()>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut term = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut int = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if sender.try_send(()).is_err() {
                std::process::exit(1);
            }
        }
    });
    Ok(receiver)
}

/// The parts that must end in order.
struct Daemon {
    pools: Vec<JoinHandle<()>>,
    leadership: Option<watch::Receiver<Leadership>>,
    control: PathBuf,
}

/// What the parts share.
struct Shared<'a> {
    config: &'a Config,
    environment: Arc<Environment>,
    consul: weir_consul::Client,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    journal: Journal,
    cancel: &'a CancellationToken,
    tracker: &'a TaskTracker,
}

impl Daemon {
    async fn start(
        config: &Config,
        environment: Arc<Environment>,
        cancel: &CancellationToken,
        tracker: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new().context("metrics")?);
        let journal = Journal::new(metrics.clone());
        let consul = clients::consul(&config.consul, &environment)?;
        let listener = TcpListener::bind(config.http).await.with_context(|| {
            format!("{}: cannot listen here; is another weir running? Set `http {{ address }}`", config.http)
        })?;
        let socket = control::bind(&config.control)?;
        let (wanted, queries) = watch::channel(BTreeSet::<Query>::new());
        let (catalogue, health) = weir_consul::watch(consul.clone(), queries, cancel.clone());
        tracker.spawn(cancelled(cancel, note_consul(health.clone(), journal.clone())));

        let shared =
            Shared { config, environment, consul, catalogue, journal: journal.clone(), cancel, tracker };
        let (handles, samples) = shared.pools()?;
        let reads = handles.iter().map(|handle| handle.reads.clone()).collect();
        tracker.spawn(interest::unite(reads, wanted, cancel.clone()));
        let scaling = shared.scaling(&handles, samples)?;
        let views = Views {
            started: Timestamp::now(),
            cluster: config.cluster.clone(),
            consul: health,
            pools: handles.iter().map(|handle| handle.report.clone()).collect(),
            scaling: scaling.as_ref().map(|(report, _)| report.clone()),
            journal,
            metrics,
        };
        tracker.spawn(http::serve(listener, views, cancel.clone()));
        let loops = handles.iter().map(|handle| (handle.name.clone(), handle.events.clone())).collect();
        tracker.spawn(control::serve(socket, control::Loops(loops), cancel.clone()));
        Ok(Self {
            pools: handles.into_iter().map(|handle| handle.task).collect(),
            leadership: scaling.map(|(_, leadership)| leadership),
            control: config.control.path.clone(),
        })
    }

    /// Waits for the parts: what is being written, and the lock.
    async fn end(self, tracker: &TaskTracker) {
        let _ = std::fs::remove_file(&self.control);
        let all = async {
            for task in self.pools {
                let _ = task.await;
            }
            if let Some(mut leadership) = self.leadership {
                // The channel closes when the lock has been let go of.
                while leadership.changed().await.is_ok() {}
            }
            tracker.wait().await;
        };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("some parts did not end within {GRACE:?}");
        }
    }
}

type Samples = Vec<(String, watch::Receiver<Option<Taken>>)>;

impl Shared<'_> {
    fn pools(&self) -> anyhow::Result<(Vec<Handle>, Samples)> {
        let mut handles = Vec::new();
        let mut samples = Samples::new();
        let mut watched = Vec::new();
        for unit in units(self.config) {
            let handle = self.pool(&unit)?;
            samples.extend(self.sampler(&unit, &handle));
            watched.extend(unit.templates.iter().enumerate().map(|(index, template)| Watched {
                template: template.clone(),
                index,
                events: handle.events.clone(),
            }));
            handles.push(handle);
        }
        self.tracker.spawn(sources::watch(watched, self.cancel.clone()));
        Ok((handles, samples))
    }

    fn pool(&self, unit: &Unit) -> anyhow::Result<Handle> {
        unit.clean_up();
        let state = unit.state(self.config)?;
        let (memory, last_good) = (state.memory(), state.catalogue());
        let pool_loop = unit.pool_loop(self.environment.clone(), memory, last_good);
        let inbox = Inbox {
            catalogue: self.catalogue.clone(),
            cancel: self.cancel.clone(),
            journal: self.journal.clone(),
        };
        Ok(pool_loop::spawn(unit.name.clone(), pool_loop, unit.hands(state, true), inbox))
    }

    fn sampler(&self, unit: &Unit, handle: &Handle) -> Option<(String, watch::Receiver<Option<Taken>>)> {
        let config = unit.haproxy.as_ref()?;
        let (sender, receiver) = watch::channel(None);
        let run = sampler::run(haproxy(config), handle.events.clone(), sender, self.cancel.clone());
        self.tracker.spawn(run);
        Some((unit.name.clone(), receiver))
    }

    /// The scaler, where Nomad is configured.
    fn scaling(
        &self,
        handles: &[Handle],
        samples: Samples,
    ) -> anyhow::Result<Option<(watch::Receiver<ScalingStatus>, watch::Receiver<Leadership>)>> {
        let Some(nomad) = &self.config.nomad else { return Ok(None) };
        let client = clients::nomad(nomad, &self.environment)?;
        let policies = policies::spawn(client.clone(), self.cancel.clone());
        let (seek_sender, seek) = watch::channel(false);
        let seeking = seek_while_nomad_answers(client.clone(), policies.clone(), seek_sender);
        self.tracker.spawn(cancelled(self.cancel, seeking));
        let options = LockOptions::new(format!("weir/{}/leader", self.config.cluster), identity());
        let leadership = weir_consul::lock(self.consul.clone(), options, seek, self.cancel.clone());
        self.tracker.spawn(cancelled(self.cancel, zero::follow(client.clone(), zero::pools(handles))));
        let (report, receiver) = watch::channel(starting());
        let inputs = scale_loop::Inputs {
            client,
            policies,
            leadership: leadership.clone(),
            catalogue: self.catalogue.clone(),
            samples,
            journal: self.journal.clone(),
            report,
        };
        self.tracker.spawn(scale_loop::run(inputs, self.cancel.clone()));
        Ok(Some((receiver, leadership)))
    }
}

/// The work, ended when the daemon ends.
fn cancelled<F>(cancel: &CancellationToken, work: F) -> impl Future<Output = ()> + Send + use<F>
where
    F: Future<Output = ()> + Send,
{
    let cancel = cancel.clone();
    async move {
        // Cancelled or done: there is nothing to bring back.
        let _ = cancel.run_until_cancelled_owned(work).await;
    }
}

fn starting() -> ScalingStatus {
    ScalingStatus {
        leader: LeaderStatus { state: "not_seeking".into(), holder: None },
        nomad: NomadStatus { state: "starting".into(), error: None },
        policies: Vec::new(),
    }
}

/// Who holds the lock: this host and process.
fn identity() -> String {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    format!("{}-{}", host.unwrap_or_else(|_| "unknown-host".into()), std::process::id())
}

/// Records when Consul stops answering, and when it answers again.
async fn note_consul(mut health: watch::Receiver<Arc<Health>>, journal: Journal) {
    let mut before = Reach::Starting;
    while health.changed().await.is_ok() {
        let now = health.borrow_and_update().clone();
        if now.state != before {
            before = now.state;
            let state = serde_json::to_value(now.state).unwrap_or_default();
            let state = state.as_str().unwrap_or_default().to_owned();
            journal.record(Record::Consul { state, error: now.error.clone() });
        }
    }
}

/// The lock is sought only while Nomad answers: both the policies' watch and a probe must say so.
async fn seek_while_nomad_answers(
    client: weir_nomad::Client,
    mut policies: watch::Receiver<Arc<policies::Policies>>,
    seek: watch::Sender<bool>,
) {
    let mut probe = tokio::time::interval(PROBE);
    let mut answers = true;
    loop {
        tokio::select! {
            changed = policies.changed() => if changed.is_err() { return },
            _ = probe.tick() => {
                let asked = tokio::time::timeout(PROBE, client.leader()).await;
                answers = matches!(asked, Ok(Ok(_)));
            }
        }
        let reached = policies.borrow_and_update().reach == policies::Reach::Ok;
        seek.send_if_modified(|before| {
            let changed = *before != (reached && answers);
            *before = reached && answers;
            changed
        });
    }
}
