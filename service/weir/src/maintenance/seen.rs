//! Waits until this load balancer's HAProxy shows what is wished of a server.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use weir_pools::intents::Wish;
use weir_scaling::ServerState;

use super::{Loop, Target};
use crate::pool_loop::{Report, follows};
use crate::status::{HaproxyState, ServerStatus};

/// What was seen in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is so in every HAProxy that has the server and runs.
    Yes { sessions: u64 },
    /// No HAProxy that runs shows the server.
    NotShown,
    /// One shows something else.
    No { state: &'static str },
    /// One has the backend, and cannot be told anything. Its label.
    Untold { haproxy: String },
}

/// Waits until a server is taken out as is wished, or more.
pub(super) async fn taken_out(loops: &[Loop], target: &Target, wish: Wish, patience: Duration) -> Seen {
    wait(loops, target, patience, |state| follows(Some(state), wish)).await
}

/// Waits until a server is not taken out.
pub(super) async fn back(loops: &[Loop], target: &Target, patience: Duration) -> Seen {
    wait(loops, target, patience, |state| !matches!(state, ServerState::Drain | ServerState::Maint)).await
}

/// Whether an HAProxy has the server.
pub(super) fn has(report: &Report, target: &Target) -> bool {
    server(report, target).is_some()
}

async fn wait(
    loops: &[Loop],
    target: &Target,
    patience: Duration,
    wanted: impl Fn(ServerState) -> bool,
) -> Seen {
    let deadline = Instant::now() + patience;
    let (mut running, mut sessions, mut untold) = (false, 0, None);
    for one in loops {
        let mut report = one.report.clone();
        if cannot_come(&report.borrow(), target, &wanted) {
            untold = Some(report.borrow().haproxy.name.clone());
            continue;
        }
        let met = |report: &Report| state(report, target).is_none_or(&wanted);
        // Whether it came to be so in time: the report says.
        let _ = timeout_at(deadline, report.wait_for(met)).await.is_ok();
        let report = report.borrow();
        let Some(state) = state(&report, target) else { continue };
        if !wanted(state) {
            return Seen::No { state: word(state) };
        }
        running = true;
        sessions += server(&report, target).and_then(|server| server.sessions).unwrap_or_default();
    }
    match untold {
        Some(haproxy) => Seen::Untold { haproxy },
        None if running => Seen::Yes { sessions },
        None => Seen::NotShown,
    }
}

/// Whether it is no use to wait: the server is not as is wanted, and nobody tells HAProxy.
fn cannot_come(report: &Report, target: &Target, wanted: impl Fn(ServerState) -> bool) -> bool {
    let has_it = || report.pools.status().iter().any(|pool| pool.backend == target.backend);
    report.untold && !state(report, target).is_some_and(wanted) && has_it()
}

fn server(report: &Report, target: &Target) -> Option<ServerStatus> {
    report.pools.server_named(&target.backend, &target.server)
}

/// The server's state in an HAProxy that runs.
fn state(report: &Report, target: &Target) -> Option<ServerState> {
    let runs = report.haproxy.state == HaproxyState::Running;
    server(report, target)?.state.filter(|_| runs)
}

/// A state as `weir servers` shows it.
fn word(state: ServerState) -> &'static str {
    match state {
        ServerState::Up => "up",
        ServerState::NoCheck => "up (not checked)",
        ServerState::Down => "down",
        ServerState::Drain => "in drain",
        ServerState::Maint => "in maintenance",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::pool_loop::SeenPools;
    use crate::status::HaproxyStatus;

    fn report(state: HaproxyState, server: Option<ServerState>) -> Report {
        let pools = SeenPools::of_one("web", "a", "10.0.0.1:80", server.map(|state| (state, 3)));
        let haproxy = HaproxyStatus {
            name: String::new(),
            state,
            pid: None,
            old_workers: None,
            unseen: None,
            version: None,
            pools: vec![],
            left_out: vec![],
            last_change: None,
            last_reload: None,
            reload_pending: false,
            reloads: 0,
            held_back: None,
        };
        let (kept, holds) = (BTreeMap::new(), BTreeMap::new());
        Report { templates: vec![], haproxy, pools, kept, untold: false, holds }
    }

    fn one(report: Report) -> (watch::Sender<Report>, Loop) {
        let (sender, report) = watch::channel(report);
        (sender, Loop { events: mpsc::channel(1).0, report })
    }

    fn target() -> Target {
        Target { backend: "web".into(), server: "a".into() }
    }

    #[tokio::test]
    async fn it_waits_until_every_haproxy_shows_it() {
        let running = |state| report(HaproxyState::Running, Some(state));
        let (first, a) = one(running(ServerState::Maint));
        let (second, b) = one(running(ServerState::Up));
        let (loops, target) = ([a, b], target());
        let patience = Duration::from_secs(20);
        let later = async {
            tokio::task::yield_now().await;
            second.send_replace(running(ServerState::Drain));
        };
        let (seen, ()) = tokio::join!(taken_out(&loops, &target, Wish::Drain, patience), later);
        assert_eq!(seen, Seen::Yes { sessions: 6 });
        let little = Duration::from_millis(1);
        let seen = taken_out(&loops, &target, Wish::Maint, little).await;
        assert_eq!(seen, Seen::No { state: "in drain" });
        assert_eq!(back(&loops, &target, little).await, Seen::No { state: "in maintenance" });
        first.send_replace(running(ServerState::Up));
        second.send_replace(running(ServerState::NoCheck));
        assert_eq!(back(&loops, &target, little).await, Seen::Yes { sessions: 6 });
    }

    #[tokio::test]
    async fn an_haproxy_that_does_not_run_or_lacks_the_server_is_not_waited_for() {
        let (_stopped, a) = one(report(HaproxyState::NotRunning, None));
        let (_other, b) = one(report(HaproxyState::Running, Some(ServerState::Up)));
        let patience = Duration::from_secs(20);
        assert_eq!(taken_out(&[a], &target(), Wish::Drain, patience).await, Seen::NotShown);
        let elsewhere = Target { server: "b".into(), ..target() };
        assert_eq!(taken_out(&[b], &elsewhere, Wish::Drain, patience).await, Seen::NotShown);
    }

    #[tokio::test]
    async fn an_haproxy_that_cannot_be_told_is_named_at_once() {
        let untold = |state, server| Report { untold: true, ..report(state, server) };
        let patience = Duration::from_secs(20);
        for (state, server) in [(HaproxyState::Running, Some(ServerState::Up)), (HaproxyState::Unknown, None)]
        {
            let (_sender, a) = one(untold(state, server));
            let (loops, meant) = ([a], target());
            let seen = taken_out(&loops, &meant, Wish::Drain, patience);
            let seen = timeout_at(Instant::now() + Duration::from_secs(1), seen).await;
            assert_eq!(seen.unwrap(), Seen::Untold { haproxy: String::new() });
            let elsewhere = Target { backend: "api".into(), ..meant };
            assert_eq!(taken_out(&loops, &elsewhere, Wish::Drain, patience).await, Seen::NotShown);
        }
        // Somebody did it by hand.
        let (_sender, a) = one(untold(HaproxyState::Running, Some(ServerState::Drain)));
        assert_eq!(taken_out(&[a], &target(), Wish::Drain, patience).await, Seen::Yes { sessions: 3 });
    }
}
