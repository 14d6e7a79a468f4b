//! Servers as a worker has them: `show servers state`.
//!
//! In: the reply, read by its column names. Out: one [`ObservedServer`] per server. A reply without the columns that
//! are needed is `None`.

use std::net::{IpAddr, SocketAddr};

use crate::table::{Row, Table};

/// One server in the running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedServer {
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub name: String,
    /// Its number in the backend (`id`).
    pub id: u32,
    /// Whether that number was given in the configuration or with `add server`.
    pub id_is_given: bool,
    /// Where it connects to; `None` while a name is unresolved, and for unix sockets.
    pub address: Option<IpAddr>,
    /// The port; 0 where the server uses the client's.
    pub port: u16,
    /// The host name in the configuration, where it is resolved at run time.
    pub fqdn: Option<String>,
    /// What HAProxy makes of it.
    pub op_state: OperationalState,
    /// Who took it out, if anybody.
    pub admin_state: AdminState,
    /// The weight now, 0 to 256 (`srv_uweight`).
    pub weight: u16,
    /// The weight of the configuration (`srv_iweight`).
    pub configured_weight: u16,
    /// Seconds since the last change of its state.
    pub unchanged_for: u64,
    /// What its health check says.
    pub check: Check,
}

/// `srv_check_state` and `srv_check_result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// No health check runs.
    Off,
    /// It runs, and has not ended yet.
    Pending,
    /// The last one was good.
    Passed,
    /// The last one was bad.
    Failed,
}

impl ObservedServer {
    /// Address and port, where both are there.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port))
    }
}

/// `srv_op_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationalState {
    /// Down.
    Stopped,
    /// Up, slowly given traffic (`slowstart`).
    Starting,
    /// Up.
    Running,
    /// Up, but soon out (`disable-on-404`).
    Stopping,
}

/// `srv_admin_state`, a mask of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AdminState(u32);

impl AdminState {
    /// The mask as it is printed.
    pub fn new(mask: u32) -> Self {
        Self(mask)
    }

    /// Maintenance that was set at run time (`set server … state maint`).
    pub fn forced_maint(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Maintenance of the server it tracks.
    pub fn inherited_maint(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Maintenance by the configuration (`disabled`). HAProxy sets the forced bit along with it.
    pub fn configured_maint(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Drain that was set at run time.
    pub fn forced_drain(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Drain of the server it tracks.
    pub fn inherited_drain(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// Maintenance because its name does not resolve.
    pub fn unresolved(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// In maintenance, for whatever reason. (That it was configured so says nothing: the bit stays when the server
    /// is set ready, seen on 2.6.12. A server that starts disabled has the forced bit too.)
    pub fn maint(self) -> bool {
        self.0 & 0x23 != 0
    }

    /// Drained and not in maintenance.
    pub fn drain(self) -> bool {
        !self.maint() && self.0 & 0x18 != 0
    }
}

/// Reads the reply; `None` when it is another kind of answer.
pub(crate) fn servers_state(reply: &str) -> Option<Vec<ObservedServer>> {
    let table = Table::blank_separated(reply, &COLUMNS)?;
    let mut servers = Vec::new();
    table.each(|row| servers.push(server(row)));
    table.has(&COLUMNS[..NEEDED]).then_some(servers)
}

/// The columns that are read; without the first so many it is no state.
const COLUMNS: [&str; 15] = [
    "be_name",
    "srv_name",
    "srv_addr",
    "srv_port",
    "srv_op_state",
    "srv_admin_state",
    "srv_id",
    "srv_f_forced_id",
    "srv_fqdn",
    "srv_uweight",
    "srv_iweight",
    "srv_time_since_last_change",
    "srv_check_state",
    "srv_check_result",
    "srv_check_health",
];
const NEEDED: usize = 6;

fn server(row: &Row<'_>) -> ObservedServer {
    let number = |column| row.count(column);
    let port = || u16::try_from(number("srv_port")).unwrap_or(0);
    let weight = |column| u16::try_from(number(column)).unwrap_or(u16::MAX);
    ObservedServer {
        backend: row.text("be_name").to_owned(),
        name: row.text("srv_name").to_owned(),
        id: u32::try_from(number("srv_id")).unwrap_or(0),
        id_is_given: number("srv_f_forced_id") != 0,
        address: row.text("srv_addr").parse().ok(),
        port: port(),
        fqdn: Some(row.text("srv_fqdn")).filter(|name| !matches!(*name, "" | "-")).map(str::to_owned),
        op_state: operational(number("srv_op_state")),
        admin_state: AdminState(u32::try_from(number("srv_admin_state")).unwrap_or(0)),
        weight: weight("srv_uweight"),
        configured_weight: weight("srv_iweight"),
        unchanged_for: number("srv_time_since_last_change"),
        check: check(number("srv_check_state"), number("srv_check_result"), number("srv_check_health")),
    }
}

/// Bit 4 of the state is set while the check is enabled; results are 0 unknown, 1 neutral, 2 failed, 3 passed, 4 passed
/// under conditions (`include/haproxy/check-t.h`, the same from 2.4 to 3.4).
///
/// A result is kept in maintenance and over `set server … health down`; the count of good checks is set to 0 there. So a good result
/// with none counted is one of before (measured on 2.6.12 and 3.2.26).
fn check(state: u64, result: u64, good: u64) -> Check {
    match result {
        _ if state & 4 == 0 => Check::Off,
        3 | 4 if good == 0 => Check::Pending,
        2 => Check::Failed,
        3 | 4 => Check::Passed,
        _ => Check::Pending,
    }
}

fn operational(code: u64) -> OperationalState {
    match code {
        0 => OperationalState::Stopped,
        1 => OperationalState::Starting,
        3 => OperationalState::Stopping,
        _ => OperationalState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 web 1 a:1 127.0.0.1 0 0 50 1 8 8 2 0 6 0 0 1 - 28111 - 0 0 - - 0
3 web 3 c ::1 2 5 1 1 1 1 0 0 8 0 0 0 db.example 28113 - 0 0 - - 0
3 web 5 u - 2 8 1 1 1 1 0 2 0 0 0 0 - 0 - 0 0 - - 0

";

    #[test]
    fn reads_what_2_6_prints() {
        let servers = servers_state(STATE).unwrap();
        let [a, c, u] = &servers[..] else { panic!("{servers:?}") };
        assert_eq!((a.backend.as_str(), a.name.as_str(), a.id, a.id_is_given), ("web", "a:1", 1, true));
        assert_eq!(a.socket_address(), Some("127.0.0.1:28111".parse().unwrap()));
        assert_eq!((a.check, c.check), (Check::Failed, Check::Off));
        assert_eq!((a.op_state, a.weight, a.configured_weight), (OperationalState::Stopped, 50, 1));
        assert!(c.admin_state.configured_maint() && c.admin_state.maint() && !c.admin_state.drain());
        assert_eq!(c.fqdn.as_deref(), Some("db.example"));
        assert!(u.address.is_none() && u.admin_state.drain());
    }

    #[test]
    fn a_disabled_server_that_was_set_ready_is_not_in_maintenance() {
        assert!(AdminState::new(5).maint());
        assert!(!AdminState::new(4).maint() && AdminState::new(4).configured_maint());
    }

    /// After `set server … health down` on 2.6.12, and after the next good check.
    #[test]
    fn a_good_check_counts_from_when_health_was_set_down() {
        assert_eq!(check(6, 3, 0), Check::Pending);
        assert_eq!(check(6, 3, 1), Check::Passed);
        assert_eq!(
            (check(6, 2, 0), check(6, 0, 0), check(2, 3, 4)),
            (Check::Failed, Check::Pending, Check::Off)
        );
    }

    #[test]
    fn another_answer_is_none() {
        assert!(servers_state("Permission denied\n").is_none());
        assert!(servers_state("# be_id be_name\n3 web\n").is_none());
    }
}
