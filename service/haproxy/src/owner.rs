//! Mode and owner of a file that weir writes.
//!
//! In: what the configuration gives, and the file that is replaced. Out: the mode, user and group to set. Fails when a
//! user or group has no account on this machine.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Group, Uid, User};

/// The mode of a new file when none is given.
const NEW_FILE: u32 = 0o644;

/// What the configuration says about a file. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The mode, as `0o640`.
    pub perms: Option<u32>,
    /// The owner: a name or a number.
    pub user: Option<String>,
    /// The group: a name or a number.
    pub group: Option<String>,
}

/// What a file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ownership {
    pub(crate) mode: u32,
    pub(crate) user: Option<Uid>,
    pub(crate) group: Option<Gid>,
    /// Whether user and group were asked for, rather than found on the file before.
    pub(crate) asked_for: bool,
}

impl Attributes {
    /// Combines what is asked for with what the present file has. The name without an account is the error.
    pub(crate) fn ownership(&self, present: Option<&Metadata>) -> Result<Ownership, String> {
        let user = self.user.as_deref().map(user).transpose()?;
        let group = self.group.as_deref().map(group).transpose()?;
        let present_mode = present.map(|file| file.mode() & 0o7777);
        Ok(Ownership {
            mode: self.perms.or(present_mode).unwrap_or(NEW_FILE),
            asked_for: user.is_some() || group.is_some(),
            user: user.or(present.map(|file| Uid::from_raw(file.uid()))),
            group: group.or(present.map(|file| Gid::from_raw(file.gid()))),
        })
    }
}

fn user(name: &str) -> Result<Uid, String> {
    let number = || name.parse().ok().map(Uid::from_raw);
    let account = User::from_name(name).ok().flatten().map(|user| user.uid);
    account.or_else(number).ok_or_else(|| name.to_owned())
}

fn group(name: &str) -> Result<Gid, String> {
    let number = || name.parse().ok().map(Gid::from_raw);
    let account = Group::from_name(name).ok().flatten().map(|group| group.gid);
    account.or_else(number).ok_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_before_what_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let present = file.as_file().metadata().unwrap();
        let kept = Attributes::default().ownership(Some(&present)).unwrap();
        assert_eq!((kept.mode, kept.user.unwrap().as_raw()), (0o600, present.uid()));
        assert!(!kept.asked_for);
        let asked = Attributes { perms: Some(0o640), user: Some("root".into()), group: Some("7".into()) };
        let asked = asked.ownership(Some(&present)).unwrap();
        assert_eq!(
            (asked.mode, asked.user, asked.group),
            (0o640, Some(Uid::from_raw(0)), Some(Gid::from_raw(7)))
        );
        assert_eq!(Attributes::default().ownership(None).unwrap().mode, 0o644);
    }

    #[test]
    fn an_unknown_account_is_named() {
        let nobody = Attributes { user: Some("no-such-user".into()), ..Attributes::default() };
        assert_eq!(nobody.ownership(None).unwrap_err(), "no-such-user");
    }
}
