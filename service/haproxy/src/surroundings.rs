//! What HAProxy is started with beside its configuration: environment, directory, user.
//!
//! In: where HAProxy is. Out: [`Surroundings`] for a check that sees what a reload will see. What the user names comes first; else
//! the running HAProxy is asked: its worker for the environment, the system for its master's directory and user (Linux only, by
//! `/proc`). What nobody tells is as weir has it. Fails where what the user names is not there.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{User, geteuid};
use tokio::process::Command;
use tokio::time::timeout;

use crate::config::Haproxy;
use crate::environment::{Variables, told, written};

/// How long a running HAProxy may take to tell. One that hangs is validated for all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// What HAProxy is started with.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// All of it, where HAProxy told it.
    environment: Option<Variables>,
    /// What the user adds.
    added: Variables,
    /// The master's, where it was found and the user names none.
    pub(crate) directory: Option<PathBuf>,
    /// User and group, where they are not weir's.
    user: Option<(u32, u32)>,
}

/// Something that the user names is not there.
#[derive(Debug, thiserror::Error)]
pub enum SurroundingsError {
    /// The file with environment variables.
    #[error("{path}: this `environment_file` cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user.
    #[error("there is no user `{name}` on this machine: `check_user` names who HAProxy is started as")]
    NoUser {
        /// As it was configured.
        name: String,
    },
}

impl Surroundings {
    /// Looks for them.
    pub(crate) async fn of(haproxy: &Haproxy) -> Result<Self, SurroundingsError> {
        let added = haproxy.environment_file.as_deref().map(read).transpose()?.unwrap_or_default();
        let named = haproxy.check_user.as_deref().map(account).transpose()?;
        let (environment, master) = tokio::join!(environment(haproxy), master(haproxy));
        let master = master.filter(|pid| is_haproxy(*pid, &haproxy.binary));
        let directory = master.filter(|_| haproxy.working_directory.is_none()).and_then(directory);
        Ok(Self { environment, added, directory, user: named.or_else(|| owner(master?)) })
    }

    /// Makes a program run in them. It is looked for in weir's own `PATH`.
    pub(crate) fn surround(&self, command: &mut Command) {
        if let Some(environment) = &self.environment {
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
            command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        }
        command.envs(self.added.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
    }
}

fn read(path: &Path) -> Result<Variables, SurroundingsError> {
    let text = std::fs::read_to_string(path);
    text.map(|text| written(&text))
        .map_err(|source| SurroundingsError::File { path: path.to_owned(), source })
}

fn account(name: &str) -> Result<(u32, u32), SurroundingsError> {
    let found = User::from_name(name).ok().flatten();
    let found = found.ok_or_else(|| SurroundingsError::NoUser { name: name.to_owned() })?;
    Ok((found.uid.as_raw(), found.gid.as_raw()))
}

/// The worker has its master's environment, and what `setenv` of the configuration put into it.
async fn environment(haproxy: &Haproxy) -> Option<Variables> {
    let stats = haproxy.stats()?.timeout(haproxy.socket_timeout.min(PATIENCE));
    told(&stats.command("show env").await.ok()?)
}

async fn master(haproxy: &Haproxy) -> Option<u32> {
    let master = haproxy.master()?;
    Some(timeout(PATIENCE, master.show_proc()).await.ok()?.ok()?.master)
}

/// Whether the process of that number is HAProxy here too: it may live among other numbers (a container).
fn is_haproxy(pid: u32, binary: &Path) -> bool {
    let Ok(name) = std::fs::read_to_string(format!("/proc/{pid}/comm")) else { return false };
    let binary = binary.file_name().unwrap_or_default().to_string_lossy();
    // The system keeps 15 bytes of a name.
    let name = name.trim_end();
    !name.is_empty() && (binary.starts_with(name) || name.starts_with("haproxy"))
}

fn directory(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok().filter(|path| path.is_dir())
}

/// Whose process it is, where weir can be somebody else and has to. A process that is in more groups than its own may read by them
/// what the check, which cannot be put into them, could not: it is checked as weir then, which reads more rather than less.
fn owner(pid: u32) -> Option<(u32, u32)> {
    let process = std::fs::metadata(format!("/proc/{pid}")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let is_plain = groups(&status).iter().all(|group| *group == process.gid());
    (geteuid().is_root() && process.uid() != 0 && is_plain).then(|| (process.uid(), process.gid()))
}

/// The supplementary groups that `/proc/PID/status` tells.
fn groups(status: &str) -> Vec<u32> {
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supplementary_groups_are_read() {
        assert_eq!(groups("Uid:\t99\t99\nGid:\t99\t99\nGroups:\t99 112 \nVmPeak:\t1 kB\n"), [99, 112]);
        assert_eq!(groups("Groups:\t\n"), [] as [u32; 0]);
    }
}
