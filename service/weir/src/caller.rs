//! Who is at the other end of the control socket.
//!
//! The socket itself says which user that is. Root may speak for somebody: for whom sudo or doas ran the command.

use nix::unistd::{Uid, User};

/// A longer name is nobody's.
const LONGEST: usize = 64;

/// The user for whom sudo or doas runs this process, as far as they say.
pub(crate) fn on_behalf_of(environment: &crate::config::Environment) -> Option<String> {
    ["SUDO_USER", "DOAS_USER"].iter().find_map(|name| environment.get(*name).cloned())
}

/// The name of the user with this ID; for root, of whom it speaks for.
pub(crate) async fn name(uid: u32, on_behalf_of: Option<&str>) -> String {
    if let Some(name) = on_behalf_of.filter(|name| uid == 0 && is_name(name)) {
        return name.to_owned();
    }
    // It may have to ask another machine.
    let found = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
    let name = found.ok().and_then(Result::ok).flatten().map(|user| user.name);
    name.filter(|name| is_name(name)).unwrap_or_else(|| format!("uid-{uid}"))
}

/// With a `:` it would be a part of weir.
fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ':';
    !name.is_empty() && name.len() <= LONGEST && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_root_speaks_for_somebody() {
        let me = User::from_uid(Uid::current())
            .unwrap()
            .map_or_else(|| format!("uid-{}", Uid::current()), |user| user.name);
        assert_eq!(name(0, Some("alice")).await, "alice");
        assert_eq!(name(Uid::current().as_raw(), None).await, me);
        assert_eq!(name(4_000_000_123, Some("alice")).await, "uid-4000000123");
        for wrong in ["", "scaler:web/app", "a\nb", "a b"] {
            assert_ne!(name(0, Some(wrong)).await, wrong);
        }
    }
}
