//! Servers that come: added, checked out of traffic, then made ready.
//!
//! HAProxy takes a new server for healthy until its first check has ended, so with `check` it is drained first. Only in
//! a pool that nobody serves it is ready at once, as after a reload.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use haproxy_cfg::{Address, Word};

use crate::server_ids;

use super::address::Move;
use super::layout::{Member, Settings};
use super::memory::{Begun, Running};
use super::observed::CheckState;
use super::options::ServerOptions;
use super::turn::{Needed, Subject, Target, Turn, View, path};
use super::{Admin, Reply, Setting, Waiting, command};

/// The first version whose `add server` is not an experiment.
const ADD_SERVER: (u32, u32) = (2, 6);

/// The first version in which a new server of a pool with `cookie … dynamic` has one (measured: on 2.6.12 it has none, and
/// clients that come with another server's lose theirs, until `enable dynamic-cookie backend`; 3.0.11 and 3.2.26 need no
/// word).
const DYNAMIC_COOKIE: (u32, u32) = (3, 0);

impl Turn<'_> {
    /// Adds the servers that HAProxy does not have.
    pub(super) fn join(&mut self, view: &View<'_, '_>, missing: &[&Member<'_>]) -> Needed<()> {
        let [first, ..] = missing else { return Ok(()) };
        can_change(self.situation.can.branch(), &view.wanted.settings)
            .map_err(|why| view.reason(first, why))?;
        let ids = free_ids(view, missing);
        missing.iter().try_for_each(|member| self.add(view, member, &ids))
    }

    fn add(&mut self, view: &View<'_, '_>, member: &Member<'_>, ids: &BTreeMap<&str, u32>) -> Needed<()> {
        let options = view.options(view.wanted, member)?;
        let (backend, name) = (view.wanted.name, member.name);
        let id = options.number("id").or_else(|| ids.get(name).copied());
        let command = add_command(backend, member, &options, id, self.situation.can.branch());
        let command = command.map_err(|why| view.reason(member, why))?;
        let words: Vec<&str> = command.split(' ').collect();
        self.step(&words, Reply::Registered, "it is wanted and HAProxy does not have it")?;
        let running = Running::with(&options);
        if view.wanted.settings.dynamic_cookie && self.situation.can.branch() < DYNAMIC_COOKIE {
            let why = "a new server gets no cookie by itself";
            self.step(&["enable", "dynamic-cookie", "backend", backend], Reply::Empty, why)?;
        }
        self.enable_checks(backend, name, &options)?;
        if options.has("disabled") {
            self.remember(backend, name, Begun::Joined { running });
            return Ok(());
        }
        self.remember(
            backend,
            name,
            Begun::Joining { since: self.situation.now, running, was_drained: false },
        );
        self.joins_ready |= !options.has("check") && view.will_serve(member);
        self.start(view, name, CheckState::Unknown, &options, Move::None)
    }

    /// What follows on `add server`, or on the end of maintenance.
    fn start(
        &mut self,
        view: &View<'_, '_>,
        name: &str,
        check: CheckState,
        options: &ServerOptions<'_>,
        moved: Move,
    ) -> Needed<()> {
        let backend = view.wanted.name;
        if check == CheckState::None {
            self.enable_checks(backend, name, options)?;
        }
        if !options.has("check") {
            return self.set_state(backend, name, Admin::Ready, "it is new and has no check to wait for");
        }
        if view.is_empty {
            return self.set_state(backend, name, Admin::Ready, "no other server of the pool is ready");
        }
        self.plan_wait_for_check(backend, name, self.situation.now);
        self.set_state(backend, name, Admin::Drain, "its first good check is still to come")?;
        if moved == Move::Sent && check != CheckState::None {
            self.forget_verdict(backend, name)?;
        }
        Ok(())
    }

    /// What follows where a server was drained for another address.
    pub(super) fn await_first_check(&mut self, subject: Subject<'_>, target: &Target<'_>) {
        let (since, running) = (self.situation.now, target.running.clone());
        self.remember(subject.backend, subject.name, Begun::Joining { since, running, was_drained: false });
        self.plan_wait_for_check(subject.backend, subject.name, since);
    }

    fn enable_checks(&mut self, backend: &str, name: &str, options: &ServerOptions<'_>) -> Needed<()> {
        for (option, what) in [("check", "health"), ("agent-check", "agent")] {
            if options.has(option) {
                self.step(
                    &["enable", what, &path(backend, name)],
                    Reply::Empty,
                    "a new server is not checked by itself",
                )?;
            }
        }
        Ok(())
    }

    /// Brings a server on that was added, or that was leaving and is wanted again.
    pub(super) fn progress(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        target: &Target<'_>,
        (since, was_drained): (SystemTime, bool),
    ) -> Needed<()> {
        let (backend, name) = (subject.backend, subject.name);
        let running = target.running.clone();
        match subject.observed.admin {
            Admin::Ready => self.remember(backend, name, Begun::Joined { running }),
            Admin::Maint if was_drained => {
                self.by_hand(backend, name, Setting::State(Admin::Maint));
                self.remember(backend, name, Begun::Joined { running });
            }
            Admin::Maint => {
                self.remember(backend, name, Begun::Joining { since, running, was_drained });
                self.start(view, name, subject.observed.check, target.options, target.moved)?;
            }
            Admin::Drain => {
                self.remember(backend, name, Begun::Joining { since, running, was_drained: true });
                self.check(view, subject, target, since)?;
            }
        }
        Ok(())
    }

    /// Waits for the first good check of a server that is out of traffic.
    fn check(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        target: &Target<'_>,
        since: SystemTime,
    ) -> Needed<()> {
        let (backend, name, options) = (subject.backend, subject.name, target.options);
        let state = if target.moved == Move::Sent { CheckState::Unknown } else { subject.observed.check };
        let why = match state {
            _ if !options.has("check") => "it has no check to wait for",
            CheckState::Passed => "its check passed",
            CheckState::Unknown | CheckState::None if view.is_empty => "no other server of the pool is ready",
            CheckState::Unknown | CheckState::None | CheckState::Failed => "",
        };
        if !why.is_empty() {
            if state == CheckState::Unknown && subject.observed.is_down {
                let words = ["set", "server", &path(backend, name), "health", "up"];
                self.step(&words, Reply::Empty, "it was down until its first check")?;
            }
            return self.set_state(backend, name, Admin::Ready, why);
        }
        self.plan_wait_for_check(backend, name, since);
        if state == CheckState::None { self.enable_checks(backend, name, options) } else { Ok(()) }
    }

    fn plan_wait_for_check(&mut self, backend: &str, name: &str, since: SystemTime) {
        let lasted = self.situation.now.duration_since(since).unwrap_or_default();
        let overdue = lasted >= self.situation.options.first_check_timeout;
        let what = if overdue { Waiting::FirstCheckOverdue } else { Waiting::FirstCheck };
        self.wait(backend, name, what, since);
    }
}

/// Why servers cannot be added or deleted in a pool, if so.
pub(super) fn can_change(branch: (u32, u32), settings: &Settings<'_>) -> Result<(), String> {
    if branch < ADD_SERVER {
        return Err("before HAProxy 2.6, servers cannot be added or deleted without a reload".to_owned());
    }
    if settings.mode.and_then(<[Word]>::first).is_some_and(|mode| mode.value == "log") {
        return Err("a pool in `mode log` takes no servers without a reload".to_owned());
    }
    is_dynamic(settings)
}

/// Why weights and servers of the pool are fixed, if so: HAProxy's dynamic algorithms, measured on 2.6.12.
pub(super) fn is_dynamic(settings: &Settings<'_>) -> Result<(), String> {
    if settings.uncertain {
        let what = "what `balance` or `default-server` say depends on an `.if` block or on the environment";
        return Err(what.to_owned());
    }
    let balance = first(settings.balance).unwrap_or("roundrobin");
    let is_consistent = first(settings.hash_type).is_some_and(|word| word == "consistent");
    match balance.split('(').next().unwrap_or_default() {
        "roundrobin" | "leastconn" | "random" | "first" => Ok(()),
        "source" | "uri" | "url_param" | "hdr" | "rdp-cookie" | "hash" if is_consistent => Ok(()),
        "source" | "uri" | "url_param" | "hdr" | "rdp-cookie" | "hash" => {
            Err(format!("`balance {balance}` is changed without a reload only with `hash-type consistent`"))
        }
        _ => Err(format!("`balance {balance}` is not changed without a reload")),
    }
}

fn first(words: Option<&[Word]>) -> Option<&str> {
    words?.first().map(|word| word.value.as_str())
}

/// An `id` for each server: a hash of its name, equal on every load balancer unless a server has that number already.
fn free_ids<'d>(view: &View<'_, 'd>, missing: &[&Member<'d>]) -> BTreeMap<&'d str, u32> {
    let mut taken: HashSet<u32> = view.observed.values().map(|server| server.id).collect();
    taken.extend(missing.iter().filter_map(|member| member.given_id()));
    let mut ids = server_ids(missing.iter().map(|member| member.name));
    for id in ids.values_mut() {
        while !taken.insert(*id) {
            *id = if *id >= i32::MAX as u32 { 1 } else { *id + 1 };
        }
    }
    ids
}

pub(super) fn add_command(
    backend: &str,
    member: &Member<'_>,
    options: &ServerOptions<'_>,
    id: Option<u32>,
    branch: (u32, u32),
) -> Result<String, String> {
    let name = member.name;
    if !command::is_name(backend) || !command::is_name(name) {
        return Err("the name has characters that do not fit a command".to_owned());
    }
    if let Some(option) = options.refused(branch) {
        let (major, minor) = branch;
        return Err(format!("HAProxy {major}.{minor} takes a server with `{option}` only by a reload"));
    }
    let address = fixed_address(member)
        .ok_or("HAProxy takes a new server without a reload only with an IP address and a port")?;
    let (path, address) = (path(backend, name), address.to_string());
    let id = id.map(|id| id.to_string());
    let mut words = vec!["add", "server", &path, &address];
    words.extend(id.iter().flat_map(|id| ["id", id.as_str()]));
    words.extend(options.to_add());
    command::line(&words)
}

/// The address that a command can set.
pub(super) fn fixed_address(member: &Member<'_>) -> Option<SocketAddr> {
    Address::plain(member.written).or_else(|| {
        let address = Address::parse(member.written);
        let is_ip = matches!(address.family.as_deref(), None | Some("ipv4" | "ipv6"));
        address.socket_addr().filter(|_| is_ip)
    })
}
