//! The demo's directory: a template, weir's configuration and the programs that run on them.
//!
//! In: the HAProxy, the addresses of Consul and Nomad. Out: files as an administrator would write them, and commands. Fails
//! where there is no HAProxy or no directory can be made.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;

const TEMPLATE: &str = include_str!("haproxy.cfg.hbs");

/// A directory with everything in it.
pub(super) struct Site {
    dir: TempDir,
    haproxy: PathBuf,
    /// Where HAProxy takes requests.
    pub(super) front: SocketAddr,
    /// Where weir answers.
    pub(super) http: SocketAddr,
}

impl Site {
    /// An empty one.
    pub(super) fn new(haproxy: PathBuf) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("weir-demo-").tempdir();
        let dir = dir.context("no temporary directory can be made; set TMPDIR to one that can be written")?;
        Ok(Self { dir, haproxy, front: free_port()?, http: free_port()? })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory itself; it goes with the value.
    pub(super) fn into_dir(self) -> TempDir {
        self.dir
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the template and weir's configuration.
    pub(super) fn write(&self, consul: SocketAddr, nomad: SocketAddr, slots: usize) -> anyhow::Result<()> {
        let template = TEMPLATE
            .replace("@DIR@", &self.dir().display().to_string())
            .replace("@FRONT@", &self.front.to_string())
            .replace("@SLOTS@", &slots.to_string());
        std::fs::write(self.path("haproxy.cfg.hbs"), template)?;
        std::fs::write(self.path("weir.hcl"), self.configuration(consul, nomad))?;
        Ok(())
    }

    fn configuration(&self, consul: SocketAddr, nomad: SocketAddr) -> String {
        format!(
            r#"state_dir = "{dir}/state"
control   = "{dir}/weir.sock"

consul {{
  address = "{consul}"
}}
nomad {{
  address = "http://{nomad}"
}}
template {{
  source      = "{dir}/haproxy.cfg.hbs"
  destination = "{dir}/haproxy.cfg"
}}
haproxy {{
  config        = ["{dir}/haproxy.cfg"]
  stats_socket  = "{dir}/stats.sock"
  master_socket = "{dir}/master.sock"
  binary        = "{binary}"
}}
http {{
  address = "{http}"
}}
"#,
            dir = self.dir().display(),
            binary = self.haproxy.display(),
            http = self.http,
        )
    }

    /// `weir run`, this very program, without the environment's Consul and Nomad.
    pub(super) fn weir(&self) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("the program itself cannot be found")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let foreign =
                name.to_str().is_some_and(|it| it.starts_with("CONSUL_") || it.starts_with("NOMAD_"));
            if foreign {
                command.env_remove(name);
            }
        }
        command.args(["run", "-c"]).arg(self.path("weir.hcl"));
        Ok(command)
    }

    /// HAProxy in master-worker mode, as a service manager starts it.
    pub(super) fn haproxy(&self) -> Command {
        let mut command = Command::new(&self.haproxy);
        let master = format!("{},mode,600,level,admin", self.path("master.sock").display());
        command.args(["-W", "-S", &master, "-f"]).arg(self.path("haproxy.cfg"));
        command
    }
}

/// The HAProxy to use.
pub(super) fn haproxy(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        if named.is_file() {
            return Ok(std::path::absolute(named)?);
        }
        bail!("{} is not there; --haproxy names the program haproxy itself", named.display());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian and FreeBSD keep it where not everybody's PATH leads.
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&path).chain(usual).map(|dir| dir.join("haproxy"));
    candidates.into_iter().find(|program| program.is_file()).context(
        "the demo needs HAProxy: install it (Debian, Ubuntu: apt install haproxy; FreeBSD: pkg install haproxy; \
         macOS: brew install haproxy) or name it with --haproxy",
    )
}

/// A free port on loopback.
fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn weir_accepts_the_files() {
        let site = Site::new("/usr/sbin/haproxy".into()).unwrap();
        let address = free_port().unwrap();
        site.write(address, address, 5).unwrap();
        let found = crate::check::check(&[site.path("weir.hcl")], &[]).await;
        let problems: Vec<String> =
            found.mistakes.iter().chain(&found.warnings).map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_missing_haproxy_is_one_line() {
        let error = haproxy(Some("/nowhere/haproxy".into())).unwrap_err().to_string();
        assert_eq!(error, "/nowhere/haproxy is not there; --haproxy names the program haproxy itself");
    }
}
