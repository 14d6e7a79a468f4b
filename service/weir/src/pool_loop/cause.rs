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

/// Why a server stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Its pool would be empty.
    Gone,
    /// Too few others of its pool are healthy.
    Critical,
}

/// The cause of a state, from what is seen, planned and wished; nothing where the server has not been seen and nobody
/// wishes anything of it.
pub(super) fn cause(
    state: Option<ServerState>,
    intent: Option<&Intent>,
    kept: Option<Kept>,
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
    let text = match (state?, kept) {
        (ServerState::Drain | ServerState::Maint, _) => "by the configuration",
        (_, Some(Kept::Gone)) => "kept: Consul lists no instance",
        (ServerState::Down, Some(Kept::Critical)) => "its check fails; critical in Consul",
        (_, Some(Kept::Critical)) => "kept: critical in Consul, as most of its pool",
        (ServerState::Up, None) => "healthy",
        (ServerState::NoCheck, None) => "not checked",
        (ServerState::Down, None) => "its check fails",
    };
    Some(text.into())
}

fn waits(what: Waiting) -> String {
    let begun = match what {
        Waiting::FirstCheck | Waiting::FirstCheckOverdue => "new",
        Waiting::Sessions(_) | Waiting::Deletion(_) | Waiting::Others => "leaving",
        Waiting::Move => "at its old address",
        Waiting::Passing => "critical in Consul",
    };
    format!("{begun}: waits for {what}")
}

/// Whether the state is what is wished, or stronger. HAProxy shows one that is down so, drained or not.
pub(crate) fn follows(state: Option<ServerState>, wish: Wish) -> bool {
    match wish {
        Wish::Wake => state.is_some_and(ServerState::serves),
        Wish::Drain => matches!(state, Some(ServerState::Drain | ServerState::Maint | ServerState::Down)),
        Wish::Maint => state == Some(ServerState::Maint),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_server_that_stays_until_it_can_move_is_not_called_leaving() {
        let wait = Wait { backend: "web".to_owned(), server: "web0".to_owned(), what: Waiting::Move };
        let planned = Planned { wait: Some(&wait), by_hand: None };
        let expected = "at its old address: waits for another server of the pool to be ready first, then goes to its new address";
        assert_eq!(cause(Some(ServerState::Up), None, None, planned).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_wished_explains_more_than_what_is_seen() {
        let (owner, reason) = ("bob".to_owned(), "disk".to_owned());
        let intent = Intent { wish: Wish::Drain, reason, owner, since: SystemTime::UNIX_EPOCH, until: None };
        let said = |state, intent, kept| cause(state, intent, kept, Planned::default()).unwrap_or_default();
        let (gone, critical) = (Some(Kept::Gone), Some(Kept::Critical));
        assert_eq!(said(Some(ServerState::Up), None, None), "healthy");
        assert_eq!(said(Some(ServerState::Up), None, gone), "kept: Consul lists no instance");
        assert_eq!(
            said(Some(ServerState::Up), None, critical),
            "kept: critical in Consul, as most of its pool"
        );
        assert_eq!(said(Some(ServerState::Maint), None, gone), "by the configuration");
        assert_eq!(said(Some(ServerState::Drain), Some(&intent), None), "drain by bob: disk");
        assert_eq!(said(Some(ServerState::Up), Some(&intent), None), "not in force yet: drain by bob: disk");
        assert_eq!(said(Some(ServerState::Down), Some(&intent), None), "its check fails; drain by bob: disk");
        assert_eq!(said(None, Some(&intent), None), "not in force yet: drain by bob: disk");
        assert_eq!(cause(None, None, gone, Planned::default()), None);
    }
}
