//! Where one HAProxy is and how it is spoken to.
//!
//! Plain values from the user's `haproxy` block; nothing is read or checked here.

use std::path::PathBuf;
use std::time::Duration;

use crate::{MasterSocket, StatsSocket};

/// One HAProxy: its files, its sockets, the ways to check and to reload it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Haproxy {
    /// What `-f` is given, in load order: files and directories.
    pub config: Vec<PathBuf>,
    /// The program that checks a configuration; a bare name is looked up in `PATH`.
    pub binary: PathBuf,
    /// Further arguments of the check, before `-c`: `-L NAME`, `-dW`. For `-C DIR` there is `working_directory`.
    pub check_args: Vec<String>,
    /// Directory in which the check runs: relative paths in the configuration start there. By default the master's, where that is
    /// found, else weir's own.
    pub working_directory: Option<PathBuf>,
    /// A file of environment variables for the check, before those that the running HAProxy tells.
    pub environment_file: Option<PathBuf>,
    /// The user that the check runs as; only root can be another one. By default the master's, where that is found.
    pub check_user: Option<String>,
    /// How long a check may take. Measured: 0.04 s for 100 servers, 0.1 s for 5,000; 0.3 s more for 500 certificates.
    pub check_timeout: Duration,
    /// `stats socket … level admin` of the configuration.
    pub stats_socket: Option<PathBuf>,
    /// The socket of `-S`.
    pub master_socket: Option<PathBuf>,
    /// Reloads instead of the master socket; run by `/bin/sh -c`.
    pub reload_command: Option<String>,
    /// How long that command may run. consul-template gives its commands the same 30 s.
    pub reload_command_timeout: Duration,
    /// How long a reload may take, from the request (or the end of the command) to the answer of the new worker. A bind
    /// conflict shows after 2.5 s.
    pub reload_timeout: Duration,
    /// How long one command on a socket may take.
    pub socket_timeout: Duration,
}

impl Default for Haproxy {
    fn default() -> Self {
        Self {
            config: Vec::new(),
            binary: "haproxy".into(),
            check_args: Vec::new(),
            working_directory: None,
            environment_file: None,
            check_user: None,
            check_timeout: Duration::from_secs(30),
            stats_socket: None,
            master_socket: None,
            reload_command: None,
            reload_command_timeout: Duration::from_secs(30),
            reload_timeout: Duration::from_secs(10),
            socket_timeout: Duration::from_secs(5),
        }
    }
}

impl Haproxy {
    /// The stats socket, where there is one.
    pub fn stats(&self) -> Option<StatsSocket> {
        Some(StatsSocket::new(self.stats_socket.as_ref()?).timeout(self.socket_timeout))
    }

    /// The master socket, where there is one.
    pub fn master(&self) -> Option<MasterSocket> {
        Some(MasterSocket::new(self.master_socket.as_ref()?).timeout(self.socket_timeout))
    }
}
