//! What the votes amount to, by the Nomad Autoscaler's rules (`policy/handler.go`, `sdk/strategy.go`).
//!
//! Within a group of checks an increase goes before no change, and that before a decrease; of two increases
//! or decreases the higher count counts. A named group hears no vote for no change, unless there is no other.
//! Then the same among the groups. One difference, for safety: a check that cannot tell lets nobody take
//! anything away, in any group.

use std::collections::BTreeMap;

use super::View;
use crate::decision::Vote;
use crate::duration::format_duration;
use crate::policy::{OnCheckError, OnMissing};
use crate::strategy::whole;

/// What the votes amount to.
pub(super) struct Tally {
    /// The count that is asked for.
    pub(super) wanted: u64,
    /// The count that would be without a queue; `None` where a check cannot tell.
    pub(super) stable: Option<u64>,
    /// Why.
    pub(super) reason: String,
    /// Whether a check cannot tell.
    pub(super) missing: bool,
}

pub(super) fn tally(view: &View<'_>, votes: &[Vote]) -> Tally {
    let count = view.seen.count;
    let silent = votes.iter().find(|vote| vote.wants.is_none());
    if count == 0 {
        return at_zero(view);
    }
    if let Some(failed) = votes.iter().find(|vote| vote.wants.is_none() && fails(view, vote)) {
        return missing(view, count, say(failed));
    }
    let Some((wanted, voice)) = winner(count, votes, |vote| vote.wants) else {
        let Some(silent) = silent else {
            return Tally { wanted: count, stable: None, reason: nobody(view), missing: false };
        };
        return missing(view, count, say(silent));
    };
    match silent {
        Some(_) if wanted > count => missing(view, wanted, say(voice)),
        Some(silent) => missing(view, count, say(silent)),
        None => Tally {
            wanted,
            stable: winner(count, votes, |vote| vote.stable).map(|(stable, _)| stable),
            reason: say(voice),
            missing: false,
        },
    }
}

/// A group at zero looks at the requests that weir holds, and at nothing else: it has no server.
fn at_zero(view: &View<'_>) -> Tally {
    let held = *view.seen.held.as_ref().unwrap_or(&0);
    let slots = view.policy.slots.unwrap_or(u64::MAX) as f64;
    let (wanted, reason) = match held {
        0 => (0, "the count is 0 and no request waits".to_owned()),
        1 => (1, "the count is 0 and a request waits".to_owned()),
        _ => (whole(held as f64 / slots).max(1), format!("the count is 0 and {held} requests wait")),
    };
    Tally { wanted, stable: None, reason, missing: false }
}

fn fails(view: &View<'_>, vote: &Vote) -> bool {
    let check = view.policy.checks.iter().find(|check| check.label == vote.check);
    let own = check.and_then(|check| check.on_error);
    own.unwrap_or(view.policy.on_check_error) == OnCheckError::Fail
}

/// The count of the vote that goes before all others, and that vote.
fn winner(count: u64, votes: &[Vote], wants: fn(&Vote) -> Option<u64>) -> Option<(u64, &Vote)> {
    let mut groups: BTreeMap<&str, Vec<(u64, &Vote)>> = BTreeMap::new();
    for vote in votes {
        groups.entry(&vote.group).or_default().extend(wants(vote).map(|wants| (wants, vote)));
    }
    let heard = |(group, votes): (&str, Vec<(u64, &'_ Vote)>)| {
        let changes = || votes.iter().filter(|(wants, _)| *wants != count).max_by_key(|(wants, _)| *wants);
        let all = || votes.iter().max_by_key(|(wants, _)| *wants);
        let first = if group.is_empty() { all() } else { changes().or_else(all) };
        first.map(|(wants, vote)| (*wants, vote.check.clone()))
    };
    let (wanted, label) = groups.into_iter().filter_map(heard).max_by_key(|(wants, _)| *wants)?;
    votes.iter().find(|vote| vote.check == label).map(|vote| (wanted, vote))
}

/// What happens while something is unknown: never less than there is.
fn missing(view: &View<'_>, wanted: u64, reason: String) -> Tally {
    let count = view.seen.count;
    let more = match view.policy.on_missing {
        OnMissing::Floor(floor) => floor,
        OnMissing::Up if view.is_calm() => count + whole(count as f64 / 4.0).max(1),
        OnMissing::Up | OnMissing::Hold => 0,
    };
    let (wanted, reason) = if more > wanted.max(count) {
        (more, format!("{reason}; on_missing goes to {more}"))
    } else {
        (wanted.max(count), reason)
    };
    Tally { wanted, stable: None, reason, missing: true }
}

fn nobody(view: &View<'_>) -> String {
    if view.policy.checks.is_empty() {
        return "there are no checks".to_owned();
    }
    let interval = format_duration(view.policy.evaluation_interval);
    format!("no check votes at this time, by their schedules; looked at every {interval}")
}

fn say(vote: &Vote) -> String {
    format!("check {:?}: {}", vote.check, vote.reason)
}
