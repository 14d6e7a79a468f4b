//! Prometheus metrics: counters from records, gauges from the status at the moment of the scrape.

mod policies;
mod wakes;

use std::cell::RefCell;

use prometheus::core::Desc;
use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::journal::{ChangeResult, Record, ScaleResult};
use crate::status::Status;
use policies::Policies;
use wakes::Wakes;

/// All metrics of the daemon, in a registry of their own.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    records: IntCounterVec,
    reloads: IntCounterVec,
    changes: IntCounterVec,
    change_seconds: Histogram,
    scales: IntCounterVec,
    consul_requests: IntCounter,
    consul_up: IntGauge,
    /// Without a value, and so not shown, where Nomad is not configured.
    nomad_up: IntGaugeVec,
    leader: IntGaugeVec,
    peer_up: IntGaugeVec,
    haproxy_up: IntGaugeVec,
    reload_pending: IntGaugeVec,
    held_back: IntGaugeVec,
    pool_servers: IntGaugeVec,
    pool_kept: IntGaugeVec,
    left_out: IntGaugeVec,
    template_failed: IntGaugeVec,
    wakes: Wakes,
    policies: Policies,
}

/// From a change in Consul to its being in force; the aim is milliseconds, a reload costs some hundred.
const CHANGE_BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// # Errors
    /// Only where two metrics have one name, which the test below would find.
    pub(crate) fn new() -> prometheus::Result<Self> {
        Self::make(&Maker::default())
    }

    fn make(make: &Maker) -> prometheus::Result<Self> {
        Ok(Self {
            records: make.counters("records_total", "Records written, by kind.", &["kind"])?,
            reloads: make.counters("reloads_total", "Reloads of HAProxy.", &["haproxy", "result"])?,
            changes: make.counters(
                "changes_total",
                "Times that new text was put in force.",
                &["haproxy", "result"],
            )?,
            change_seconds: make.change_seconds()?,
            scales: make.counters(
                "scale_total",
                "Scales asked of Nomad.",
                &["namespace", "job", "group", "result"],
            )?,
            consul_requests: make.counter("consul_requests_total", "Requests sent to Consul.")?,
            consul_up: make.gauge("consul_up", "Whether Consul answers.")?,
            nomad_up: make.gauges("nomad_up", "Whether Nomad answers.", &[])?,
            leader: make.gauges("leader", "Whether this weir may change Nomad.", &[])?,
            peer_up: make.gauges("peer_up", "Whether another load balancer's weir answers.", &["peer"])?,
            haproxy_up: make.gauges("haproxy_up", "Whether HAProxy answers.", &["haproxy"])?,
            reload_pending: make.gauges(
                "reload_pending",
                "Whether the files are newer than what HAProxy runs.",
                &["haproxy"],
            )?,
            held_back: make.gauges("held_back", "Whether changes are held back.", &["haproxy"])?,
            pool_servers: make.gauges("pool_servers", "Servers in a pool.", &["haproxy", "backend"])?,
            pool_kept: make.gauges(
                "pool_kept",
                "Servers kept although Consul no longer lists them, or lists them as critical.",
                &["haproxy", "backend"],
            )?,
            left_out: make.gauges(
                "left_out",
                "Instances left out, and keys and sections that stay as they were.",
                &["haproxy"],
            )?,
            template_failed: make.gauges(
                "template_failed",
                "Whether a template's source cannot be used.",
                &["source"],
            )?,
            wakes: Wakes::new(make)?,
            policies: Policies::new(make)?,
            registry: make.registry.clone(),
        })
    }

    /// Counts one record.
    pub(crate) fn count(&self, record: &Record) {
        self.records.with_label_values(&[<&str>::from(record)]).inc();
        match record {
            Record::Changed { haproxy, result, took_ms, .. } => {
                self.changes.with_label_values(&[haproxy.as_str(), change(*result)]).inc();
                self.change_seconds.observe(*took_ms as f64 / 1000.0);
            }
            Record::Refused { haproxy, .. } => {
                self.changes.with_label_values(&[haproxy.as_str(), "refused"]).inc();
            }
            Record::WriteFailed { haproxy, .. } => {
                self.changes.with_label_values(&[haproxy.as_str(), "failed"]).inc();
            }
            Record::Reloaded { haproxy, .. } => {
                self.reloads.with_label_values(&[haproxy.as_str(), "ok"]).inc();
            }
            Record::ReloadFailed { haproxy, .. } => {
                self.reloads.with_label_values(&[haproxy.as_str(), "failed"]).inc();
            }
            Record::Scaled { namespace, job, group, .. } => {
                self.scales.with_label_values(&[namespace.as_str(), job, group, "ok"]).inc();
            }
            Record::ScaleFailed { namespace, job, group, result, .. } => {
                self.scales.with_label_values(&[namespace.as_str(), job, group, scale(*result)]).inc();
            }
            _ => {}
        }
    }

    /// The text that Prometheus reads, with gauges as `status` has them.
    pub(crate) fn render(&self, status: &Status) -> String {
        self.observe(status);
        let mut text = Vec::new();
        // Writing to memory cannot fail; a metric that cannot be encoded would be one without a name.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn observe(&self, status: &Status) {
        self.consul_up.set(i64::from(status.consul.state == "ok"));
        let missing = status.consul.attempts.saturating_sub(self.consul_requests.get());
        self.consul_requests.inc_by(missing);
        self.pool_servers.reset();
        self.pool_kept.reset();
        for haproxy in &status.haproxy {
            self.observe_haproxy(haproxy);
        }
        self.peer_up.reset();
        for peer in &status.peers {
            self.peer_up.with_label_values(&[peer.name.as_str()]).set(i64::from(peer.answers));
        }
        self.template_failed.reset();
        for template in &status.templates {
            let failed = i64::from(template.state == crate::status::TemplateState::Failed);
            self.template_failed.with_label_values(&[template.source.as_str()]).set(failed);
        }
        self.wakes.observe(&status.wake);
        if let Some(scaling) = &status.scaling {
            self.observe_scaling(scaling);
        }
    }

    fn observe_haproxy(&self, haproxy: &crate::status::HaproxyStatus) {
        let name = haproxy.name.as_str();
        let up = haproxy.state == crate::status::HaproxyState::Running;
        self.haproxy_up.with_label_values(&[name]).set(i64::from(up));
        self.left_out.with_label_values(&[name]).set(signed(haproxy.left_out.len()));
        self.reload_pending.with_label_values(&[name]).set(i64::from(haproxy.reload_pending));
        self.held_back.with_label_values(&[name]).set(i64::from(haproxy.held_back.is_some()));
        for pool in &haproxy.pools {
            let labels = [name, pool.backend.as_str()];
            self.pool_servers.with_label_values(&labels).set(signed(pool.servers.len()));
            self.pool_kept.with_label_values(&labels).set(signed(pool.kept.len()));
        }
    }

    fn observe_scaling(&self, scaling: &crate::status::ScalingStatus) {
        self.nomad_up.with_label_values::<&str>(&[]).set(i64::from(scaling.nomad.state == "ok"));
        self.leader.with_label_values::<&str>(&[]).set(i64::from(scaling.leader.state == "leading"));
        self.policies.observe(&scaling.policies);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn change(result: ChangeResult) -> &'static str {
    match result {
        ChangeResult::Reloaded => "reloaded",
        ChangeResult::Commands => "commands",
        ChangeResult::Written => "written",
        ChangeResult::ReloadPending => "reload_pending",
    }
}

fn scale(result: ScaleResult) -> &'static str {
    match result {
        ScaleResult::Blocked => "blocked",
        ScaleResult::Conflict => "conflict",
        ScaleResult::Failed => "failed",
    }
}

/// Makes metrics under weir's prefix and registers them.
#[derive(Default)]
struct Maker {
    registry: Registry,
    /// Each as docs/metrics.md lists it: those without a value yet are not among what is gathered.
    listed: RefCell<Vec<String>>,
}

impl Maker {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: M) -> prometheus::Result<M> {
        self.registry.register(Box::new(metric.clone()))?;
        let labels = |desc: &Desc| desc.variable_labels.join("`, `");
        let row = |desc: &Desc| format!("| `{}` | `{}` | {} |", desc.fq_name, labels(desc), desc.help);
        self.listed.borrow_mut().extend(metric.desc().into_iter().map(row));
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.register(GaugeVec::new(opts(name, help), labels)?)
    }

    fn sums(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        self.register(CounterVec::new(opts(name, help), labels)?)
    }

    fn change_seconds(&self) -> prometheus::Result<Histogram> {
        let help = "From weir's learning of a change to its being in force.";
        let opts = HistogramOpts::new("weir_change_seconds", help).buckets(CHANGE_BUCKETS.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("weir_{name}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ConsulStatus, LeaderStatus, NomadStatus, ScalingStatus};

    #[test]
    fn every_metric_registers_and_records_are_counted_by_kind() {
        let metrics = Metrics::new().unwrap();
        metrics.count(&Record::SourceChanged { template: "a".into() });
        assert_eq!(metrics.records.with_label_values(&["source_changed"]).get(), 1);
    }

    #[test]
    fn a_kind_is_the_one_that_is_serialized() {
        let (haproxy, long) = (String::new(), "\"".repeat(1000));
        let commands = vec![long.clone(); 3];
        let records = [
            Record::Changed {
                haproxy: long.clone(),
                reason: long.clone(),
                files: commands.clone(),
                result: ChangeResult::Commands,
                commands,
                took_ms: 1,
            },
            Record::IntentProblem { problem: long },
            Record::HeldBack { haproxy, backends: Vec::new() },
            Record::Leader { leading: true },
        ];
        for record in &records {
            assert_eq!(serde_json::to_value(record).unwrap()["kind"], <&str>::from(record));
        }
    }

    #[test]
    fn the_page_lists_every_metric() {
        let make = Maker::default();
        Metrics::make(&make).unwrap();
        let listed: Vec<String> = make.listed.borrow().iter().map(|row| row.replace("``", "")).collect();
        let page = include_str!("../../../docs/metrics.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, listed, "{}", listed.join("\n"));
    }

    #[test]
    fn nothing_is_said_of_nomad_where_there_is_none() {
        let metrics = Metrics::new().unwrap();
        let mut status = status();
        let without = metrics.render(&status);
        assert!(!without.contains("nomad_up") && !without.contains("weir_leader"), "{without}");
        assert!(without.contains("weir_consul_up 1\n"), "{without}");
        status.scaling = Some(ScalingStatus {
            leader: LeaderStatus { state: "leading".into(), holder: None },
            nomad: NomadStatus { state: "unreachable".into(), error: None },
            policies: Vec::new(),
        });
        let with = metrics.render(&status);
        assert!(with.contains("weir_nomad_up 0\n") && with.contains("weir_leader 1\n"), "{with}");
    }

    fn status() -> Status {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let consul = ConsulStatus {
            state: "ok".into(),
            error: None,
            since: now,
            attempts: 1,
            mode: "narrow".into(),
            watches: 1,
        };
        Status {
            version: String::new(),
            started: now,
            cluster: String::new(),
            ready: true,
            reasons: Vec::new(),
            consul,
            templates: Vec::new(),
            haproxy: Vec::new(),
            wake: Vec::new(),
            peers: Vec::new(),
            scaling: None,
            intents: Vec::new(),
            intent_problems: Vec::new(),
        }
    }
}
