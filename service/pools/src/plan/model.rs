//! A model of HAProxy for the tests: servers that obey the commands of a plan, checks that pass or fail, sessions that
//! linger. Its answers are those of HAProxy 2.6.12.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use haproxy_cfg::Document;

use super::{Admin, CheckState, Observed, ObservedServer};

/// A running HAProxy and what it connects to.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) servers: BTreeMap<(String, String), Server>,
    /// Addresses where nobody answers.
    pub(super) dead: BTreeSet<SocketAddr>,
    /// How often `del server` is refused from now on.
    pub(super) refusals: u32,
    /// Sessions of drained servers do not end by themselves.
    pub(super) sessions_stay: bool,
}

/// A server in it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) state: ObservedServer,
    has_check: bool,
    is_checked: bool,
    /// Where its last check was good.
    seen_good_at: Option<SocketAddr>,
}

const PEOPLE: u64 = 3;

impl World {
    /// HAProxy after a start with this text.
    pub(super) fn load(&mut self, text: &str) {
        self.servers.clear();
        for pool in Document::parse(text).pools() {
            for (index, server) in pool.servers.iter().enumerate() {
                let words: Vec<&str> = server.options.iter().map(|word| word.value.as_str()).collect();
                let mut state = fresh(server.address.socket_addr().unwrap(), &words);
                state.id = u32::try_from(index).unwrap() + 1;
                let has_check = words.contains(&"check") || text_checks(text, pool.name);
                state.admin = if words.contains(&"disabled") { Admin::Maint } else { Admin::Ready };
                state.check = if has_check { CheckState::Unknown } else { CheckState::None };
                let server_key = (pool.name.to_owned(), server.name.to_owned());
                // HAProxy begins with all of them.
                let seen_good_at = state.address;
                self.servers
                    .insert(server_key, Server { state, has_check, is_checked: has_check, seen_good_at });
            }
        }
    }

    pub(super) fn observe(&self) -> Observed {
        let mut observed = Observed::default();
        for ((backend, name), server) in &self.servers {
            observed.insert(backend, name, server.state.clone());
        }
        observed
    }

    /// Time passes: checks end, sessions begin and end.
    pub(super) fn tick(&mut self) {
        for server in self.servers.values_mut() {
            let state = &mut server.state;
            let is_dead = state.address.is_some_and(|address| self.dead.contains(&address));
            if server.is_checked && state.admin != Admin::Maint {
                state.check = if is_dead { CheckState::Failed } else { CheckState::Passed };
                state.is_down = is_dead;
                server.seen_good_at = state.address.filter(|_| !is_dead);
            }
            state.sessions = match state.admin {
                Admin::Ready if state.serves() => PEOPLE,
                _ if self.sessions_stay => state.sessions,
                _ => state.sessions.saturating_sub(1),
            };
        }
    }

    /// How many servers of the pool get traffic.
    pub(super) fn serving(&self, backend: &str) -> usize {
        self.servers.iter().filter(|((pool, _), server)| pool == backend && server.state.serves()).count()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Server> {
        let (backend, name) = path.split_once('/').unwrap();
        self.servers.get(&(backend.to_owned(), name.to_owned()))
    }

    /// Carries a command out; returns HAProxy's answer.
    pub(super) fn execute(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["add", "server", path, address, options @ ..] => self.add(path, address, options),
            ["del", "server", path] => self.delete(path),
            ["set", "maxconn", "server", path, value] => {
                self.change(path, |server| server.state.maxconn = value.parse().unwrap())
            }
            ["enable", "health", path] => self.change(path, Server::enable),
            ["shutdown", "sessions", "server", path] => self.change(path, |server| server.state.sessions = 0),
            ["set", "server", path, "weight", value] => {
                self.change(path, |server| server.state.weight = value.parse().unwrap())
            }
            ["set", "server", path, "addr", ip, "port", port] => {
                let address = SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
                self.change(path, |server| server.state.address = Some(address));
                "IP changed from '' to '' by 'stats socket command'\n".to_owned()
            }
            ["set", "server", path, "health", health] => self.change(path, |server| server.judge(health)),
            ["set", "server", path, "state", state] => self.change(path, |server| server.set(state)),
            _ => panic!("no such command: {command}"),
        }
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut Server)) -> String {
        let (backend, name) = path.split_once('/').unwrap();
        match self.servers.get_mut(&(backend.to_owned(), name.to_owned())) {
            Some(server) => {
                change(server);
                "\n".to_owned()
            }
            None => "No such server.\n".to_owned(),
        }
    }

    fn add(&mut self, path: &str, address: &str, options: &[&str]) -> String {
        let (backend, name) = path.split_once('/').unwrap();
        let key = (backend.to_owned(), name.to_owned());
        let state = fresh(address.parse().unwrap(), options);
        let same_id = |((pool, _), server): (&(String, String), &Server)| {
            pool == backend && server.state.id == state.id
        };
        if self.servers.contains_key(&key) || self.servers.iter().any(same_id) {
            return "Already exists a server with the same name in backend.\n".to_owned();
        }
        let has_check = options.contains(&"check");
        let server = Server { state, has_check, is_checked: false, seen_good_at: None };
        self.servers.insert(key, server);
        "New server registered.\n".to_owned()
    }

    fn delete(&mut self, path: &str) -> String {
        let Some(server) = self.get(path) else { return "No such server.\n".to_owned() };
        if server.state.admin != Admin::Maint {
            return "Only servers in maintenance mode can be deleted.\n".to_owned();
        }
        if server.state.sessions > 0 || self.refusals > 0 {
            self.refusals = self.refusals.saturating_sub(1);
            return "Server still has connections attached to it, cannot remove it.\n".to_owned();
        }
        let (backend, name) = path.split_once('/').unwrap();
        self.servers.remove(&(backend.to_owned(), name.to_owned()));
        "Server deleted.\n".to_owned()
    }
}

impl Server {
    fn enable(&mut self) {
        self.is_checked = self.has_check;
        if self.has_check && self.state.check == CheckState::None {
            self.state.check = CheckState::Unknown;
        }
    }

    /// In maintenance it has no effect.
    fn judge(&mut self, health: &str) {
        if self.state.admin != Admin::Maint && self.is_checked {
            self.state.is_down = health == "down";
            self.state.check = CheckState::Unknown;
        }
    }

    /// Whether it is in traffic at an address where no check was good yet, though it has one.
    pub(super) fn serves_unseen(&self) -> bool {
        self.has_check && self.state.serves() && self.seen_good_at != self.state.address
    }

    fn set(&mut self, state: &str) {
        let was_maint = self.state.admin == Admin::Maint;
        self.state.admin = match state {
            "ready" => Admin::Ready,
            "drain" => Admin::Drain,
            _ => Admin::Maint,
        };
        if was_maint {
            self.state.is_down = false;
        }
    }
}

fn text_checks(text: &str, backend: &str) -> bool {
    let section = text.split("backend ").find(|section| section.starts_with(&format!("{backend}\n")));
    section.is_some_and(|section| section.contains("default-server check"))
}

fn fresh(address: SocketAddr, options: &[&str]) -> ObservedServer {
    let number = |name: &str| {
        let at = options.iter().position(|word| *word == name)?;
        options.get(at + 1)?.parse().ok()
    };
    ObservedServer {
        id: number("id").unwrap_or(0),
        address: Some(address),
        weight: number("weight").unwrap_or(1),
        maxconn: number("maxconn").unwrap_or(0),
        admin: Admin::Maint,
        is_down: false,
        check: CheckState::None,
        sessions: 0,
        is_backup: options.contains(&"backup"),
    }
}
