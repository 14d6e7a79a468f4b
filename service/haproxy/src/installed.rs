//! Which HAProxy the program on disk is. In: the program. Out: its version, or nothing where it cannot be run or says no
//! version. A running process may be another one: `ProcessInfo` tells.

use tokio::process::Command;

use crate::child::run;
use crate::config::Haproxy;
use crate::version::Version;

/// Asks the program with `-v`.
pub async fn installed_version(haproxy: &Haproxy) -> Option<Version> {
    let mut command = Command::new(&haproxy.binary);
    let ended = run(command.arg("-v"), haproxy.check_timeout).await.ok()??;
    said(&ended.stdout)
}

/// `HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/`; before 2.4 `HA-Proxy version …`.
fn said(text: &str) -> Option<Version> {
    let (_, after) = text.split_once("version ")?;
    Version::parse(after.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_haproxy_prints() {
        let numbers = |text| said(text).map(|version| (version.major, version.minor, version.patch));
        assert_eq!(
            numbers("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: x\n"),
            Some((2, 6, 12))
        );
        assert_eq!(numbers("HA-Proxy version 2.2.9-2 2021/02/01\n"), Some((2, 2, 9)));
        assert_eq!(numbers("nginx: nothing"), None);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_has_no_version() {
        let haproxy = Haproxy { binary: "/nonexistent/haproxy".into(), ..Haproxy::default() };
        assert_eq!(installed_version(&haproxy).await, None);
    }
}
