//! Why a server is in the state that HAProxy shows, in words for `weir servers`.

use std::borrow::Cow;

use jiff::Timestamp;
use weir_pools::intents::{Intent, Wish};
use weir_pools::plan::{ByHand, Wait, Waiting};
use weir_scaling::ServerState;

use crate::intents::words;

/// What the plan says of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned<'a> {
    /// What it waits for.
    pub(super) wait: Option<&'a Wait>,
    /// What a person set.
    pub(super) by_hand: Option<&'a ByHand>,
}

/// The cause of a state, from what is seen, planned and wished; nothing where the server has not been seen and nobody
/// wishes anything of it.
pub(super) fn cause(
    state: Option<ServerState>,
    intent: Option<&Intent>,
    is_kept: bool,
    planned: Planned<'_>,
) -> Option<Cow<'static, str>> {
    if let Some(by_hand) = planned.by_hand {
        return Some(by_hand.what.to_string().into());
    }
    if let Some(wait) = planned.wait {
        return Some(waits(wait.what).into());
    }
    if let Some(intent) = intent {
        let words = words(intent, Timestamp::now());
        let before = match state {
            // Whether it is drained cannot be seen of one that is down.
            Some(ServerState::Down) if intent.wish == Wish::Drain => "its check fails; ",
            _ if follows(state, intent.wish) => "",
            _ => "not in force yet: ",
        };
        return Some(format!("{before}{words}").into());
    }
    let text = match state? {
        ServerState::Drain | ServerState::Maint => "by the configuration",
        _ if is_kept => "kept: Consul lists no instance",
        ServerState::Up => "healthy",
        ServerState::NoCheck => "not checked",
        ServerState::Down => "its check fails",
    };
    Some(text.into())
}

fn waits(what: Waiting) -> String {
    let begun = match what {
        Waiting::FirstCheck | Waiting::FirstCheckOverdue => "new",
        Waiting::Sessions(_) | Waiting::Deletion(_) | Waiting::Others => "leaving",
        Waiting::Passing => "critical in Consul",
    };
    format!("{begun}: waits for {what}")
}

/// Whether the state is what is wished, or stronger. HAProxy shows one that is down so, drained or not.
pub(crate) fn follows(state: Option<ServerState>, wish: Wish) -> bool {
    match wish {
        Wish::Drain => matches!(state, Some(ServerState::Drain | ServerState::Maint | ServerState::Down)),
        Wish::Maint => state == Some(ServerState::Maint),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_wished_explains_more_than_what_is_seen() {
        let (owner, reason) = ("bob".to_owned(), "disk".to_owned());
        let intent = Intent { wish: Wish::Drain, reason, owner, since: SystemTime::UNIX_EPOCH, until: None };
        let said = |state, intent, kept| cause(state, intent, kept, Planned::default()).unwrap_or_default();
        assert_eq!(said(Some(ServerState::Up), None, false), "healthy");
        assert_eq!(said(Some(ServerState::Up), None, true), "kept: Consul lists no instance");
        assert_eq!(said(Some(ServerState::Maint), None, true), "by the configuration");
        assert_eq!(said(Some(ServerState::Drain), Some(&intent), false), "drain by bob: disk");
        assert_eq!(said(Some(ServerState::Up), Some(&intent), false), "not in force yet: drain by bob: disk");
        assert_eq!(
            said(Some(ServerState::Down), Some(&intent), false),
            "its check fails; drain by bob: disk"
        );
        assert_eq!(said(None, Some(&intent), false), "not in force yet: drain by bob: disk");
        assert_eq!(cause(None, None, true, Planned::default()), None);
    }
}
