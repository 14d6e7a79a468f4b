//! One weir on one state directory: two would overwrite each other's memory and swap each other's files.
//!
//! The lock is the system's (`flock`), on a file in the directory: it goes with the process, however that ends.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The lock, for as long as the value lives.
pub(crate) type StateLock = Flock<File>;

/// Takes the state directory for this process, and makes it where it is not there.
pub(crate) fn take(state_dir: &Path) -> anyhow::Result<StateLock> {
    let place = state_dir.display();
    let open = || {
        std::fs::create_dir_all(state_dir)?;
        File::options().create(true).truncate(false).write(true).open(state_dir.join("lock"))
    };
    let file = open().with_context(|| {
        format!("{place}: the state directory cannot be made or written; create it, or set `state_dir`")
    })?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => {
            bail!("{place}: another weir uses this state directory; give this one its own `state_dir`")
        }
        Err((_, error)) => Err(error).with_context(|| format!("{place}: its file `lock` cannot be locked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_weir_is_told_the_directory_and_a_later_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = take(&state).unwrap();
        let refused = take(&state).unwrap_err().to_string();
        assert!(
            refused.contains(&state.display().to_string()) && refused.contains("another weir"),
            "{refused}"
        );
        drop(first);
        take(&state).unwrap();
    }
}
