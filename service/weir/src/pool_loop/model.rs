//! A model of HAProxy's worker for the tests of the loop: servers that obey commands, checks that pass after a while. Its answers are those
//! of HAProxy 2.6.12. No session lasts, so that nothing is waited for but checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use haproxy_cfg::Document;
use weir_pools::plan::{Admin, CheckState, Observed, ObservedServer};

/// A running worker.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// By backend and server.
    pub(super) servers: BTreeMap<(String, String), ObservedServer>,
    /// How many of the next `add server` it refuses, and of the next `del server`.
    pub(super) refuses: (usize, usize),
}

impl Worker {
    /// One that starts with this text.
    pub(super) fn started(text: &str) -> Self {
        let mut worker = Self::default();
        for pool in Document::parse(text).pools() {
            for server in &pool.servers {
                let words: Vec<&str> = server.options.iter().map(|word| word.value.as_str()).collect();
                let mut state =
                    fresh(server.address.socket_addr().expect("the tests have IP addresses"), &words);
                state.admin = Admin::Ready;
                state.check = CheckState::Unknown;
                worker.servers.insert((pool.name.to_owned(), server.name.to_owned()), state);
            }
        }
        worker
    }

    pub(super) fn observed(&self) -> Observed {
        let mut observed = Observed::default();
        for ((backend, name), server) in &self.servers {
            observed.insert(backend, name, server.clone());
        }
        observed
    }

    /// Checks end well.
    pub(super) fn tick(&mut self) {
        for server in self.servers.values_mut() {
            if server.check == CheckState::Unknown && server.admin != Admin::Maint {
                server.check = CheckState::Passed;
            }
        }
    }

    /// How many servers get traffic.
    pub(super) fn serving(&self) -> usize {
        self.servers.values().filter(|server| server.serves()).count()
    }

    /// Carries a command out; returns HAProxy's answer.
    pub(super) fn execute(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["add", "server", path, address, options @ ..] => self.add(&key(path), address, options),
            ["del", "server", path] => self.delete(&key(path)),
            ["enable", "health", path] => self.change(path, |server| server.check = CheckState::Unknown),
            ["set", "server", path, "state", state] => {
                self.change(path, |server| server.admin = admin(state))
            }
            _ => panic!("no such command: {command}"),
        }
    }

    fn change(&mut self, path: &str, change: impl FnOnce(&mut ObservedServer)) -> String {
        let Some(server) = self.servers.get_mut(&key(path)) else { return "No such server.\n".to_owned() };
        change(server);
        "\n".to_owned()
    }

    fn add(&mut self, key: &(String, String), address: &str, options: &[&str]) -> String {
        if self.refuses.0 > 0 {
            self.refuses.0 -= 1;
            return "Failed to create the server.\n".to_owned();
        }
        if self.servers.contains_key(key) {
            return "Already exists a server with the same name in backend.\n".to_owned();
        }
        let address = address.parse().expect("an address with a port");
        self.servers.insert(key.clone(), fresh(address, options));
        "New server registered.\n".to_owned()
    }

    fn delete(&mut self, key: &(String, String)) -> String {
        match self.servers.get(key).map(|server| server.admin) {
            None => "No such server.\n".to_owned(),
            Some(Admin::Ready | Admin::Drain) => {
                "Only servers in maintenance mode can be deleted.\n".to_owned()
            }
            Some(Admin::Maint) if self.refuses.1 > 0 => {
                self.refuses.1 -= 1;
                "Server still has connections attached to it, cannot remove it.\n".to_owned()
            }
            Some(Admin::Maint) => {
                self.servers.remove(key);
                "Server deleted.\n".to_owned()
            }
        }
    }
}

fn key(path: &str) -> (String, String) {
    let (backend, name) = path.split_once('/').expect("a path has a backend");
    (backend.to_owned(), name.to_owned())
}

fn admin(word: &str) -> Admin {
    match word {
        "ready" => Admin::Ready,
        "drain" => Admin::Drain,
        _ => Admin::Maint,
    }
}

/// A server as `add server` makes it.
fn fresh(address: SocketAddr, options: &[&str]) -> ObservedServer {
    let id = options.iter().position(|word| *word == "id").and_then(|at| options.get(at + 1)?.parse().ok());
    ObservedServer {
        id: id.unwrap_or(0),
        address: Some(address),
        weight: 1,
        maxconn: 0,
        admin: Admin::Maint,
        is_down: false,
        check: CheckState::None,
        sessions: 0,
        is_backup: false,
    }
}
