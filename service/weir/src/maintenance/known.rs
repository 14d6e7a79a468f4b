//! Which servers there are, and which one a person means.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use haproxy_cfg::Document;

use super::Target;
use crate::config::did_you_mean;
use crate::pool_loop::{Report, address_of};
use crate::short;

/// How many names a message lists.
const LISTED: usize = 8;

/// A server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    backend: String,
    /// Its name in HAProxy.
    name: String,
    /// `ADDRESS:PORT`.
    address: String,
}

impl Server {
    /// One of which the name alone is known.
    pub(super) fn named(backend: &str, name: &str) -> Self {
        Self { backend: backend.to_owned(), name: name.to_owned(), address: name.to_owned() }
    }
}

/// The servers in these configurations; one that cannot be read names none.
pub(super) fn in_files(files: &[PathBuf]) -> Vec<Server> {
    // Reading a FIFO would wait for a writer.
    let texts =
        files.iter().filter(|file| file.is_file()).filter_map(|file| std::fs::read_to_string(file).ok());
    texts.flat_map(|text| in_text(&text)).collect()
}

fn in_text(text: &str) -> Vec<Server> {
    let document = Document::parse(text);
    let servers = document.pools().flat_map(|pool| {
        let backend = pool.name.to_owned();
        pool.servers.into_iter().map(move |server| Server {
            backend: backend.clone(),
            name: server.name.to_owned(),
            address: address_of(&server),
        })
    });
    servers.collect()
}

/// The servers that a loop knows by the names that HAProxy gives them.
pub(super) fn in_report(report: &Report) -> Vec<Server> {
    let pools = report.pools.status();
    let pools = pools.iter();
    let sampled = pools.flat_map(|pool| {
        let servers = pool.servers.iter().filter(|server| server.state.is_some());
        servers.map(|server| Server {
            backend: pool.backend.clone(),
            name: server.name.clone(),
            address: server.address.clone(),
        })
    });
    sampled.collect()
}

/// The server that is meant, under its name in HAProxy.
pub(super) fn find(target: &Target, servers: &[Server]) -> anyhow::Result<Target> {
    let Target { backend, server } = target;
    let pool: Vec<&Server> = servers.iter().filter(|known| known.backend == *backend).collect();
    if pool.is_empty() {
        let backends: BTreeSet<&str> = servers.iter().map(|known| known.backend.as_str()).collect();
        let hint = did_you_mean(backend, backends.iter().copied());
        let all = there_is(&backends, "`weir servers`");
        bail!("weir knows no servers in a backend {}{hint}\n{all}", short::short(backend));
    }
    let named = pool.iter().find(|known| known.name == *server);
    if let Some(found) = named.or_else(|| pool.iter().find(|known| known.address == *server)) {
        return Ok(Target { backend: backend.clone(), server: found.name.clone() });
    }
    let hint = did_you_mean(server, pool.iter().flat_map(|known| [known.name.as_str(), &known.address]));
    let names: BTreeSet<&str> = pool.iter().map(|known| known.name.as_str()).collect();
    let all = there_is(&names, &format!("`weir servers {backend}`"));
    bail!("backend {backend} has no server {}{hint}\n{all}", short::short(server))
}

fn there_is(names: &BTreeSet<&str>, command: &str) -> String {
    let listed: Vec<String> = names.iter().take(LISTED).map(|name| (*name).to_owned()).collect();
    match names.len() {
        0 => "there is none".into(),
        count if count > LISTED => format!("there are {count}, {command} lists them"),
        _ => format!("there is {}", short::list(&listed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "backend web\n server one 10.0.0.1:80\n server 10.0.0.2:80 10.0.0.2:80\n\
                        backend api\n server six [::1]:81\n";

    fn found(written: &str) -> Result<String, String> {
        let (backend, server) = written.split_once('/').unwrap();
        let target = Target { backend: backend.into(), server: server.into() };
        find(&target, &in_text(TEXT)).map(|found| found.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_is_found_by_its_name_and_by_its_address() {
        assert_eq!(found("web/one").unwrap(), "web/one");
        assert_eq!(found("web/10.0.0.1:80").unwrap(), "web/one");
        assert_eq!(found("web/10.0.0.2:80").unwrap(), "web/10.0.0.2:80");
        assert_eq!(found("api/::1:81").unwrap(), "api/six");
    }

    #[test]
    fn what_is_not_known_is_answered_with_the_nearest() {
        assert_eq!(
            found("wbe/one").unwrap_err(),
            "weir knows no servers in a backend wbe; did you mean `web`?\nthere is api, web"
        );
        assert_eq!(
            found("web/10.0.0.3:80").unwrap_err(),
            "backend web has no server 10.0.0.3:80; did you mean `10.0.0.1:80`?\nthere is 10.0.0.2:80, one"
        );
        assert_eq!(found("api/one").unwrap_err(), "backend api has no server one\nthere is six");
        let none = find(&Target { backend: "a".into(), server: "b".into() }, &[]).unwrap_err().to_string();
        assert_eq!(none, "weir knows no servers in a backend a\nthere is none");
    }

    #[test]
    fn of_many_only_the_number_is_said() {
        let many: Vec<Server> = (0..9).map(|n| Server::named("web", &format!("s{n}-of-many"))).collect();
        let target = Target { backend: "web".into(), server: "other".into() };
        let said = find(&target, &many).unwrap_err().to_string();
        assert_eq!(said, "backend web has no server other\nthere are 9, `weir servers web` lists them");
    }
}
