//! Many changes, one after the other: under load without a failed request, and in a burst without a wasted command.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::rig::site::{SERVERS, Site};
use crate::rig::{Instance, Load, SOON, burst, wait_closely, wait_for};

fn is_long() -> bool {
    std::env::var_os("WEIR_TEST_LONG").is_some()
}

/// Instances in Consul when it begins.
const POOL: usize = 100;
/// How long an instance still answers after it was deregistered, as with Nomad's `shutdown_delay`.
const GRACE: Duration = Duration::from_secs(3);

/// Real instances that come and go, the oldest first.
struct Crowd<'a> {
    site: &'a Site,
    started: usize,
    registered: VecDeque<Instance>,
    leaving: VecDeque<(Instant, Instance)>,
}

impl Crowd<'_> {
    async fn one_comes(&mut self) {
        let instance = Instance::start(&format!("web-{}", self.started)).await;
        self.started += 1;
        self.site.consul.register("web", &instance.name, instance.port).await;
        self.registered.push_back(instance);
    }

    async fn one_goes(&mut self) {
        let instance = self.registered.pop_front().expect("as many come as go");
        self.site.consul.deregister(&instance.name).await;
        self.leaving.push_back((Instant::now(), instance));
        while self.leaving.front().is_some_and(|(since, _)| since.elapsed() > GRACE) {
            self.leaving.pop_front();
        }
    }

    /// `changes` over `time`, at even distances.
    async fn churn(&mut self, changes: u32, time: Duration) {
        let begin = Instant::now();
        for change in 0..changes {
            tokio::time::sleep_until(begin + time / changes * change).await;
            if change % 2 == 0 { self.one_comes().await } else { self.one_goes().await }
        }
    }
}

/// 60 changes in 10 s at 300 requests/s; with `WEIR_TEST_LONG=1` 200 in a minute at 1,000 requests/s.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_churns_is_never_reloaded_and_fails_no_request() {
    let Some(site) = Site::new().await else { return };
    let mut crowd = Crowd { site: &site, started: 0, registered: VecDeque::new(), leaving: VecDeque::new() };
    for _ in 0..POOL {
        crowd.one_comes().await;
    }
    let kept = site
        .template(SERVERS)
        .replace("    mode http\n", "    mode http\n    option idle-close-on-response\n");
    let (mut weir, haproxy) = site.up_with(&kept).await;
    let before = weir.generation(&haproxy).await;

    let (changes, time, rate) = if is_long() { (200, 60, 1000) } else { (60, 10, 300) };
    let load = Load::at_rate(site.front, rate);
    crowd.churn(changes, Duration::from_secs(time)).await;
    let wanted = site.consul.passing("web").await;
    haproxy.wait_servers("web", &wanted, SOON).await;
    let seen = load.stop().await;
    eprintln!(
        "{changes} changes in {time} s: {} requests, {} failed, the slowest took {:?}, {} instances answered",
        seen.good + seen.failed,
        seen.failed,
        seen.slowest,
        seen.by_instance.len()
    );
    assert_eq!(seen.failed, 0, "{seen:?}");
    assert!(seen.good > u64::from(rate) * time / 2, "the load did not run: {seen:?}");
    assert!(seen.by_instance.len() > POOL, "no new instance was asked: {seen:?}");
    let states = haproxy.states("web").await.unwrap();
    assert!(states.values().all(|state| state.is_ready()), "{states:?}");
    assert_eq!(weir.generation(&haproxy).await, before, "reloads");
    wait_for("the file follows", SOON, async || (site.rendered_servers() == wanted).then_some(())).await;
    weir.must_run();
}

/// 300 changes in 3 s; with `WEIR_TEST_LONG=1` 1,000 in 10 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_sends_no_command_twice() {
    let Some(mut site) = Site::new().await else { return };
    burst::prepare(&site).await;
    let template = site.template(SERVERS);
    let (weir, haproxy, recorder) = site.up_recorded(&template).await;
    let before = weir.generation(&haproxy).await;

    let changes = if is_long() { 1000 } else { 300 };
    let burst = burst::run(&site, changes).await;
    let what = "every server is in its final or a leaving state";
    wait_closely(what, SOON, async || burst.is_settled(&haproxy).await).await;
    let settled = burst.last.elapsed();
    haproxy.wait_servers("web", &burst.wanted.iter().cloned().collect::<Vec<_>>(), SOON).await;
    let (gone, commands) = (burst.last.elapsed(), recorder.changes());
    eprintln!(
        "{changes} changes in {:?}: settled {settled:?} after the last, all gone {gone:?} after it, {} commands",
        burst.took,
        commands.len()
    );
    let mut once = BTreeSet::new();
    let twice: Vec<&String> = commands.iter().filter(|command| !once.insert(*command)).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    assert_eq!(weir.generation(&haproxy).await, before, "reloads");
}
