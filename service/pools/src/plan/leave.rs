//! Servers that go: drained until their sessions end, then put into maintenance and deleted.
//!
//! One that cannot serve (HAProxy's own checks fail, or nobody answers at its address) is not drained but put into
//! maintenance at once: in a drain, clients that stick to it would still be sent there (measured on 2.6.12: 3 s to a 503; in
//! maintenance they are served elsewhere within 2 ms). So is one that is critical in Consul, which then stays in
//! maintenance until it passes again or is gone. While no wanted server serves, those that serve stay.

use std::time::{Duration, SystemTime};

use super::join::can_change;
use super::memory::{Begun, Running};
use super::options::Changeable;
use super::turn::{Needed, Subject, Turn, View, path};
use super::{Admin, Cause, Reply, Setting, Waiting};

/// How long to leave HAProxy alone after it refused to delete a server: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// How far a server is on its way out.
#[derive(Clone)]
struct Way {
    since: SystemTime,
    running: Option<Running>,
    tries: u32,
    not_before: SystemTime,
}

impl Turn<'_> {
    /// The next step out for a server that is not wanted.
    pub(super) fn leave(&mut self, view: &View<'_, '_>, subject: Subject<'_>) -> Needed<()> {
        let server = subject.observed;
        let cause = server.address.map_or(Cause::Gone, self.situation.cause);
        if cause != Cause::Critical {
            // One that is critical is not deleted.
            can_change(self.situation.can.branch(), &view.wanted.settings).map_err(|why| {
                view.pool_reason(format!("server `{}` is no longer wanted, and {why}", subject.name))
            })?;
        }
        let mut way = self.way(view, subject);
        let kept = if cause == Cause::Critical { self.keep_by_hand(subject) } else { Vec::new() };
        if let Some(running) = &mut way.running {
            // Whoever set these: if it is wanted again, it gets what the configuration says then.
            let was = running.changeable;
            running.changeable = Changeable { disabled: was.disabled, ..server.as_loaded(was, &kept) };
        }
        let must_stay = view.must_stay(subject);
        self.is_conditional = must_stay;
        match cause {
            _ if must_stay && !self.joins_ready => self.wait_for_others(subject),
            Cause::Critical => self.hold(subject)?,
            Cause::Unreachable => self.remove(subject, &mut way, "nobody answers at its address")?,
            Cause::Gone | Cause::Maintenance if !server.is_healthy() => {
                self.remove(subject, &mut way, "it is not wanted, and its checks fail")?;
            }
            Cause::Gone | Cause::Maintenance => self.drain(subject, &mut way, cause)?,
        }
        self.is_conditional = false;
        let Way { since, running, tries, not_before } = way;
        self.remember(subject.backend, subject.name, Begun::Leaving { since, running, tries, not_before });
        Ok(())
    }

    /// What a person set outlives that it is critical for a while: they may have taken it out to restart it.
    fn keep_by_hand(&mut self, subject: Subject<'_>) -> Vec<Setting> {
        let is_over =
            |set: &Setting| matches!(set, Setting::State(_)) && subject.observed.admin == Admin::Ready;
        let kept: Vec<Setting> = self.set_by_hand(subject).into_iter().filter(|set| !is_over(set)).collect();
        for set in &kept {
            self.by_hand(subject.backend, subject.name, *set);
        }
        kept
    }

    /// Maintenance for as long as Consul calls it critical.
    fn hold(&mut self, subject: Subject<'_>) -> Needed<()> {
        if subject.observed.admin != Admin::Maint {
            self.set_state(subject.backend, subject.name, Admin::Maint, "it is critical in Consul")?;
        }
        self.note_wait(subject.backend, subject.name, Waiting::Passing);
        Ok(())
    }

    fn drain(&mut self, subject: Subject<'_>, way: &mut Way, cause: Cause) -> Needed<()> {
        let server = subject.observed;
        let is_over = server.sessions == 0 || self.has_waited(way);
        match server.admin {
            Admin::Ready => {
                way.since = self.situation.now;
                let why = match cause {
                    Cause::Maintenance => "it is in maintenance mode in Consul",
                    _ => "it is no longer wanted",
                };
                self.set_state(subject.backend, subject.name, Admin::Drain, why)?;
                let what = Waiting::Sessions(server.sessions);
                self.wait(subject.backend, subject.name, what, self.situation.now);
            }
            Admin::Drain if !is_over => self.wait_for_sessions(subject, way),
            Admin::Drain | Admin::Maint => self.remove(subject, way, "it is drained")?,
        }
        Ok(())
    }

    fn way(&self, view: &View<'_, '_>, subject: Subject<'_>) -> Way {
        let fresh =
            |running| Way { since: self.situation.now, running, tries: 0, not_before: self.situation.now };
        match self.situation.memory.server(subject.backend, subject.name) {
            Some(Begun::Leaving { since, running, tries, not_before }) => {
                Way { since: *since, running: running.clone(), tries: *tries, not_before: *not_before }
            }
            Some(other) if other.running().is_some() => fresh(other.running().cloned()),
            Some(_) | None => fresh(loaded_options(view, subject.name)),
        }
    }

    fn has_waited(&self, way: &Way) -> bool {
        self.situation
            .now
            .duration_since(way.since)
            .is_ok_and(|lasted| lasted >= self.situation.options.drain_timeout)
    }

    fn wait_for_sessions(&mut self, subject: Subject<'_>, way: &Way) {
        let what = Waiting::Sessions(subject.observed.sessions);
        self.wait(subject.backend, subject.name, what, way.since);
        let deadline = way.since + self.situation.options.drain_timeout;
        self.look_again(deadline.duration_since(self.situation.now).unwrap_or_default());
    }

    /// Maintenance, then deletion as soon as it has no sessions, or at the end of the time it had for them.
    fn remove(&mut self, subject: Subject<'_>, way: &mut Way, why: &str) -> Needed<()> {
        let (backend, name, server) = (subject.backend, subject.name, subject.observed);
        if server.admin != Admin::Maint {
            self.set_state(backend, name, Admin::Maint, why)?;
        }
        let is_overdue = server.sessions > 0 && self.has_waited(way);
        if server.sessions > 0 && !is_overdue {
            self.wait_for_sessions(subject, way);
        } else if self.situation.now < way.not_before {
            self.plan_retry(subject, way);
        } else {
            self.delete(subject, way, is_overdue)?;
            let delay = RETRY.0.saturating_mul(1 << way.tries.min(16)).min(RETRY.1);
            (way.tries, way.not_before) = (way.tries.saturating_add(1), self.situation.now + delay);
        }
        Ok(())
    }

    fn plan_retry(&mut self, subject: Subject<'_>, way: &Way) {
        self.wait(subject.backend, subject.name, Waiting::Deletion(way.tries), self.situation.now);
        self.look_again(way.not_before.duration_since(self.situation.now).unwrap_or_default());
    }

    fn delete(&mut self, subject: Subject<'_>, way: &Way, is_overdue: bool) -> Needed<()> {
        let path = path(subject.backend, subject.name);
        if is_overdue {
            let words = ["shutdown", "sessions", "server", &path];
            self.step(&words, Reply::Empty, "its sessions did not end within `drain_timeout`")?;
        }
        let is_asked = |running: &Running| running.signature.split(' ').any(|word| word == "agent-check");
        if way.running.as_ref().is_some_and(is_asked) {
            self.step(
                &["disable", "agent", &path],
                Reply::Empty,
                "a server is not deleted while its agent is asked",
            )?;
        }
        self.step(&["del", "server", &path], Reply::Deleted, "it is no longer wanted")
    }
}

/// What the server runs with, so that it can be taken back.
fn loaded_options(view: &View<'_, '_>, name: &str) -> Option<Running> {
    let pool = view.loaded?;
    pool.options(pool.server(name)?).ok().map(|options| Running::with(&options))
}
