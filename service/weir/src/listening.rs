//! Where the running weir listens that a command speaks to.
//!
//! In: what the command line says: an address, a configuration, or nothing. Out: a control socket or an HTTP address; where there is
//! nothing, those that weir has without a configuration. Fails where the configuration does not say, with all that is wrong with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::bail;

use crate::cli::{Control, Http, Whose};
use crate::config::{self, Config};

/// The socket for commands that change something.
pub(crate) fn control(whose: &Whose, given: Control) -> anyhow::Result<PathBuf> {
    match (given.control, configured(whose, "--control")?) {
        (Some(path), _) => Ok(path),
        (None, Some(config)) => Ok(config.control.path),
        (None, None) => Ok(config::CONTROL_SOCKET.into()),
    }
}

/// The address that status and metrics are read from.
pub(crate) fn http(whose: &Whose, given: Http) -> anyhow::Result<String> {
    match (given.address, configured(whose, "--address")?) {
        (Some(address), _) => Ok(address),
        (None, Some(config)) => Ok(reachable(config.http).to_string()),
        (None, None) => Ok(config::HTTP_ADDRESS.into()),
    }
}

fn configured(whose: &Whose, instead: &str) -> anyhow::Result<Option<Config>> {
    if whose.configs.is_empty() {
        return Ok(None);
    }
    let loaded = config::load(&whose.configs);
    if loaded.problems.is_empty() {
        return Ok(Some(loaded.config));
    }
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    bail!(
        "where the running weir listens cannot be read from its configuration; say it with {instead}\n{}",
        problems.join("\n")
    )
}

/// Who listens on all addresses is found on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_it_is_at_the_usual_places() {
        let whose = || Whose { configs: Vec::new() };
        let control = control(&whose(), Control { control: None }).unwrap();
        let http = http(&whose(), Http { address: None }).unwrap();
        let usual = config::load(&[]).config;
        assert_eq!((control, http), (usual.control.path, usual.http.to_string()));
    }

    #[test]
    fn who_listens_everywhere_is_read_here() {
        let at = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8717"), "127.0.0.1:8717");
        assert_eq!(at("[::]:8717"), "[::1]:8717");
        assert_eq!(at("10.0.0.1:8717"), "10.0.0.1:8717");
    }
}
