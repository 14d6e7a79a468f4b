//! `weir run`: every part, wired together.
//!
//! Only a configuration that is wrong, or what weir must own and cannot get (its state directory, its sockets), ends
//! the start. Everything else is waited for. Ends on SIGTERM or SIGINT: what is being written is finished, the lock is
//! let go of, within five seconds. A part that fails ends it the same way, with an error.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_consul::{Health, Leadership, LockOptions, Reach};
use weir_nomad::policies;
use weir_pools::{Catalogue, Query};

use crate::chain::chain;
use crate::config::{Config, Environment};
use crate::intents::{self, Book, Known};
use crate::journal::{Journal, Record};
use crate::maintenance::{Loop, Maintenance};
use crate::metric_sources::{Prometheus, Sources};
use crate::metrics::Metrics;
use crate::parts::{Failed, Parts};
use crate::peers::{self, Balancers, Ground, Own};
use crate::pool_loop::{self, Handle, Inbox};
use crate::publish::replace;
use crate::sampler::{self, Taken};
use crate::sources::{self, Watched};
use crate::status::{LeaderStatus, NomadStatus, ScalingStatus};
use crate::units::{Unit, haproxy, units};
use crate::views::Views;
use crate::{
    advice, certificates, clients, control, http, interest, logging, nomad_version, scale_loop, state_lock,
    wake, zero,
};

/// How long the parts have to end.
const GRACE: Duration = Duration::from_millis(4500);
/// How often Nomad is asked whether it answers at all: a blocking query that hangs would tell only after a minute.
const PROBE: Duration = Duration::from_secs(2);

/// Runs until a signal ends it, or a part that fails.
pub(crate) async fn run(config: Config, environment: Environment) -> anyhow::Result<()> {
    logging::start(&config.log);
    let signals = signals()?;
    let (parts, mut failed) = Parts::new();
    parts.hear_panics();
    let _lock = state_lock::take(&config.state_dir)?;
    for problem in advice::unloaded(&config) {
        tracing::warn!("{problem}");
    }
    let started = start(&config, Arc::new(environment), &parts, signals.hangups).await;
    let (ended, leadership) = match started {
        Ok(leadership) => (wait(&signals.end, &mut failed).await, leadership),
        Err(error) => (Err(error), None),
    };
    parts.end(let_go(leadership), GRACE).await;
    ended
}

/// Waits for the end, and says whether it is a good one.
async fn wait(end: &CancellationToken, failed: &mut Failed) -> anyhow::Result<()> {
    tracing::info!("weir {} runs", env!("CARGO_PKG_VERSION"));
    tokio::select! {
        () = end.cancelled() => {
            tracing::info!("ending");
            Ok(())
        }
        Some(failure) = failed.recv() => {
            tracing::error!("ending, because a part of weir failed: {failure}");
            bail!("a part of weir failed: {failure}")
        }
    }
}

/// Waits until the lock has been let go of: then its channel closes.
async fn let_go(leadership: Option<watch::Receiver<Leadership>>) {
    if let Some(mut leadership) = leadership {
        while leadership.changed().await.is_ok() {}
    }
}

/// What signals ask for.
struct Signals {
    /// SIGTERM or SIGINT came; the second one ends the process at once.
    end: CancellationToken,
    /// SIGHUP: a message for the sources to be read again.
    hangups: mpsc::Receiver<()>,
}

fn signals() -> anyhow::Result<Signals> {
    let handle = |kind, name| signal(kind).with_context(|| format!("{name} cannot be handled"));
    let mut term = handle(SignalKind::terminate(), "SIGTERM")?;
    let mut int = handle(SignalKind::interrupt(), "SIGINT")?;
    let mut hup = handle(SignalKind::hangup(), "SIGHUP")?;
    // They mean nothing here; by default they would end the process.
    drop(handle(SignalKind::user_defined1(), "SIGUSR1")?);
    drop(handle(SignalKind::user_defined2(), "SIGUSR2")?);
    let (again, hangups) = mpsc::channel(1);
    let end = CancellationToken::new();
    let signals = Signals { end: end.clone(), hangups };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = hup.recv() => {
                    // One that waits already is enough.
                    let _ = again.try_send(());
                    continue;
                }
            }
            if end.is_cancelled() {
                std::process::exit(1);
            }
            end.cancel();
        }
    });
    Ok(signals)
}

/// What the parts share.
struct Shared<'a> {
    config: &'a Config,
    environment: Arc<Environment>,
    consul: weir_consul::Client,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    journal: Journal,
    parts: &'a Parts,
}

/// Starts every part. Out: who leads, where Nomad is configured.
async fn start(
    config: &Config,
    environment: Arc<Environment>,
    parts: &Parts,
    hangups: mpsc::Receiver<()>,
) -> anyhow::Result<Option<watch::Receiver<Leadership>>> {
    let metrics = Arc::new(Metrics::new().context("metrics")?);
    let journal = Journal::new(metrics.clone());
    let consul = clients::consul(&config.consul, &environment)?;
    let listener = TcpListener::bind(config.http).await.with_context(|| {
        format!("{}: cannot listen here; is another weir running? Set `http {{ address }}`", config.http)
    })?;
    let socket = control::bind(&config.control)?;
    let (wanted, queries) = watch::channel(BTreeSet::<Query>::new());
    let (catalogue, health) = weir_consul::watch(consul.clone(), queries, parts.cancel.clone());
    parts.spawn_cancelled("the note of Consul's health", note_consul(health.clone(), journal.clone()));

    let state_dir = &config.state_dir;
    let known = intents::start(&config.cluster, state_dir, catalogue.clone(), journal.clone(), parts);
    let shared = Shared { config, environment, consul, catalogue, journal: journal.clone(), parts };
    let (handles, samples) = shared.pools(hangups)?;
    let reads = handles.iter().map(|handle| handle.reads.clone()).collect();
    let always = BTreeSet::from([intents::query(&config.cluster)]);
    let peers = config.peer.iter().map(|_| peers::query(&config.cluster));
    let always = always.into_iter().chain(peers).collect();
    parts.spawn("the list of what is read", interest::unite(always, reads, wanted, parts.cancel.clone()));
    let maintenance = shared.maintenance(&handles, &known);
    let wake = config.wake.as_ref().map(|wake| wake::start(wake, &known, &handles, &journal, parts));
    let own = Own { samples, wake: wake.clone() };
    let others = match &config.peer {
        None => None,
        Some(peer) => Some(peers::start(peer, shared.ground(own.clone())).await?),
    };
    let scaling = shared.scaling(&handles, Balancers::new(own, others.clone()), &maintenance)?;
    let views = Views {
        started: Timestamp::now(),
        cluster: config.cluster.clone(),
        consul: health,
        pools: handles.iter().map(|handle| handle.report.clone()).collect(),
        scaling: scaling.as_ref().map(|(report, _)| report.clone()),
        wake,
        peers: others,
        intents: known,
        journal,
        metrics,
    };
    parts.spawn("the HTTP interface", http::serve(listener, views, parts.cancel.clone()));
    let loops = handles.iter().map(|handle| (handle.name.clone(), handle.events.clone())).collect();
    let answering = control::Answering { loops: control::Loops(loops), maintenance };
    let controlled = control::serve(socket, answering, parts.cancel.clone());
    parts.spawn("the control socket", controlled);
    for handle in handles {
        parts.watch(format!("the pool loop {}", handle.name).trim_end(), handle.task);
    }
    Ok(scaling.map(|(_, leadership)| leadership))
}

type Samples = Vec<(String, watch::Receiver<Option<Taken>>)>;

impl Shared<'_> {
    fn pools(&self, hangups: mpsc::Receiver<()>) -> anyhow::Result<(Vec<Handle>, Samples)> {
        let mut handles = Vec::new();
        let mut samples = Samples::new();
        let mut watched = Vec::new();
        for unit in units(self.config) {
            let handle = self.pool(&unit)?;
            samples.extend(self.sampler(&unit, &handle));
            self.certificates(&unit, &handle);
            watched.extend(unit.templates.iter().enumerate().map(|(index, template)| Watched {
                template: template.clone(),
                index,
                events: handle.events.clone(),
            }));
            handles.push(handle);
        }
        let sources = sources::watch(watched, hangups, self.parts.cancel.clone());
        self.parts.spawn("the watch of the sources", sources);
        Ok((handles, samples))
    }

    fn pool(&self, unit: &Unit) -> anyhow::Result<Handle> {
        unit.clean_up();
        let state = unit.state(self.config)?;
        let (memory, answers) = (state.memory(), state.answers());
        let pool_loop =
            unit.pool_loop(self.environment.clone(), memory, answers.kept()).with_commands(state.begun());
        let inbox = Inbox {
            catalogue: self.catalogue.clone(),
            cancel: self.parts.cancel.clone(),
            journal: self.journal.clone(),
            answers,
        };
        Ok(pool_loop::spawn(unit.name.clone(), pool_loop, unit.hands(state, true), inbox))
    }

    fn sampler(&self, unit: &Unit, handle: &Handle) -> Option<(String, watch::Receiver<Option<Taken>>)> {
        let config = unit.haproxy.as_ref()?;
        let (sender, receiver) = watch::channel(None);
        let run = sampler::run(haproxy(config), handle.events.clone(), sender, self.parts.cancel.clone());
        self.parts.spawn(format!("the sampler {}", unit.name).trim_end(), run);
        Some((unit.name.clone(), receiver))
    }

    /// Tells the loops what is wished of servers. Out: what writes it.
    fn maintenance(&self, handles: &[Handle], known: &watch::Receiver<Arc<Known>>) -> Maintenance {
        let book = Book::new(self.consul.clone(), &self.config.cluster, known.clone());
        let events = handles.iter().map(|handle| handle.events.clone()).collect();
        self.parts.spawn_cancelled("the delivery of intents", intents::deliver(known.clone(), events));
        self.parts.spawn_cancelled("the tidying of intents", intents::tidy_up(book.clone()));
        let templates = self.config.templates.iter();
        let files = templates.map(|template| template.destination.clone());
        let files =
            files.filter(|file| self.config.haproxies.iter().any(|haproxy| haproxy.loads(file))).collect();
        Maintenance { book, intents: known.clone(), loops: handles.iter().map(Loop::from).collect(), files }
    }

    /// The watch of the files that others write for this HAProxy.
    fn certificates(&self, unit: &Unit, handle: &Handle) {
        let Some(config) = &unit.haproxy else { return };
        let is_loaded = |path: &PathBuf| config.loads(path);
        let watched = certificates::Watched {
            name: unit.name.clone(),
            haproxy: haproxy(config),
            rendered: unit
                .templates
                .iter()
                .map(|template| template.destination.clone())
                .filter(is_loaded)
                .collect(),
            events: handle.events.clone(),
            journal: self.journal.clone(),
        };
        let name = format!("the watch of certificates and maps {}", unit.name);
        self.parts.spawn(name.trim_end(), certificates::run(watched, self.parts.cancel.clone()));
    }

    /// What telling and asking other load balancers needs.
    fn ground(&self, own: Own) -> Ground<'_> {
        Ground {
            cluster: &self.config.cluster,
            consul: self.consul.clone(),
            catalogue: self.catalogue.clone(),
            own,
            state_dir: &self.config.state_dir,
            parts: self.parts,
        }
    }

    /// The scaler, where Nomad is configured.
    fn scaling(
        &self,
        handles: &[Handle],
        balancers: Balancers,
        maintenance: &Maintenance,
    ) -> anyhow::Result<Option<(watch::Receiver<ScalingStatus>, watch::Receiver<Leadership>)>> {
        let Some(nomad) = &self.config.nomad else { return Ok(None) };
        let client = clients::nomad(nomad, &self.environment)?;
        // It ends once it has an answer, and is no part that must go on.
        let version = nomad_version::warn_of_old(client.clone());
        tokio::spawn(self.parts.cancel.clone().run_until_cancelled_owned(version));
        let policies = policies::spawn(client.clone(), self.parts.cancel.clone());
        let (seek_sender, seek) = watch::channel(false);
        let (hung_sender, hung) = watch::channel(None);
        let seeking = seek_while_nomad_answers(client.clone(), policies.clone(), seek_sender, hung_sender);
        self.parts.spawn_cancelled("the probe of Nomad", seeking);
        let options = LockOptions::new(format!("weir/{}/leader", self.config.cluster), identity());
        let leadership = weir_consul::lock(self.consul.clone(), options, seek, self.parts.cancel.clone());
        let zeros = zero::follow(client.clone(), self.catalogue.clone(), zero::pools(handles));
        self.parts.spawn_cancelled("the watch of what Nomad wants none of", zeros);
        let (report, receiver) = watch::channel(starting());
        let prometheus = self.config.prometheus.as_ref().map(Prometheus::new).transpose()?;
        let sources = Sources { prometheus, nomad: client.clone() };
        let inputs = scale_loop::Inputs {
            client,
            policies,
            hung,
            leadership: leadership.clone(),
            catalogue: self.catalogue.clone(),
            intents: maintenance.intents.clone(),
            book: maintenance.book.clone(),
            balancers,
            sources,
            journal: self.journal.clone(),
            report,
        };
        self.parts.spawn("the scale loop", scale_loop::run(inputs, self.parts.cancel.clone()));
        Ok(Some((receiver, leadership)))
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

/// The lock is sought only while Nomad answers: both the policies' watch and a probe must say so. `hung` is why the
/// probe is not answered.
async fn seek_while_nomad_answers(
    client: weir_nomad::Client,
    mut policies: watch::Receiver<Arc<policies::Policies>>,
    seek: watch::Sender<bool>,
    hung: watch::Sender<Option<String>>,
) {
    let mut probe = tokio::time::interval(PROBE);
    loop {
        tokio::select! {
            changed = policies.changed() => if changed.is_err() { return },
            _ = probe.tick() => {
                let problem = probe_nomad(&client).await;
                hung.send_if_modified(|before| replace(before, problem));
            }
        }
        let reached = policies.borrow_and_update().reach == policies::Reach::Ok;
        let answers = hung.borrow().is_none();
        seek.send_if_modified(|before| replace(before, reached && answers));
    }
}

/// Why Nomad does not answer; nothing where it does.
async fn probe_nomad(client: &weir_nomad::Client) -> Option<String> {
    client.leader().await.err().map(|error| chain(&error))
}
