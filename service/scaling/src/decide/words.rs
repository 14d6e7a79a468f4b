//! A decision in a sentence.

use super::View;
use crate::decision::{Action, Clamp, Direction, Rule};
use crate::duration::format_duration;
use crate::seen::Deployment;

/// What happens and why: the vote that counted, then each rule that changed it.
pub(super) fn sentence(view: &View<'_>, to: u64, reason: &str, clamps: &[Clamp]) -> String {
    let from = view.seen.count;
    let waits = view.action(to, view.may_supersede(to)) == Action::Blocked;
    let head = match Direction::between(from, to) {
        None => format!("holds {from}"),
        Some(_) if waits => format!("wants to go from {from} to {to}"),
        Some(_) if view.policy.dry_run => format!("would go from {from} to {to} (dry-run)"),
        Some(Direction::Up) => format!("up from {from} to {to}"),
        Some(Direction::Down) => format!("down from {from} to {to}"),
    };
    let mut text = format!("{head}: {reason}");
    for clamp in clamps {
        text.extend(["; ", &rule(view, clamp)]);
    }
    text + deployment(view, to)
}

fn deployment(view: &View<'_>, to: u64) -> &'static str {
    match view.seen.deployment {
        _ if to == view.seen.count => "",
        Deployment::None => "",
        Deployment::Own if view.may_supersede(to) => "; the deployment of the last scale is superseded",
        Deployment::Own if view.rush && to > view.seen.count => {
            "; the deployment of the last scale is not superseded before all of its instances run"
        }
        Deployment::Own => "; waits for the deployment of the last scale",
        Deployment::Foreign => "; waits for a deployment that somebody else started",
    }
}

/// Why a rule changed the count.
pub(super) fn rule(view: &View<'_>, clamp: &Clamp) -> String {
    let wanted = clamp.from;
    match clamp.rule {
        Rule::Hysteresis => format!("{wanted} is within the tolerance"),
        Rule::Stabilization => stabilization(view, clamp),
        Rule::Falling => {
            format!("{wanted} waits: the recommendation falls on, and one step is faster than two")
        }
        Rule::Draining => format!("instances are drained for {} already", clamp.to),
        Rule::Rates => format!("{wanted} would be faster than scale_up and scale_down allow"),
        Rule::Cooldown => {
            let after = view.seen.last_scale.map_or(Direction::Up, |last| last.direction);
            format!("{wanted} waits for the cooldown of {}", format_duration(view.cooldown(after)))
        }
        Rule::CooldownOnScaleUp => {
            let time = format_duration(view.policy.cooldown_on_scale_up);
            format!("{wanted} waits for the cooldown_on_scale_up of {time}")
        }
        Rule::NoGain => format!(
            "{wanted} would not help: the last increase brought no more completed requests; look at what all instances wait \
             for together, such as a database, a disk, or a limit of connections"
        ),
        Rule::Budget => format!("{wanted} is more than max_by bears, {}", clamp.to),
        Rule::Placeable => {
            format!(
                "{wanted} is more than the cluster has room for, {}: add a Nomad client, or free one",
                clamp.to
            )
        }
        Rule::Min => format!("{wanted} is below min = {}", view.bounds.floor),
        Rule::Max => format!("{wanted} is above max = {}", view.bounds.ceiling),
        Rule::ScheduleMin => format!("{wanted} is below the schedule's min = {}", view.bounds.floor),
        Rule::ScheduleMax => format!("{wanted} is above the schedule's max = {}", view.bounds.ceiling),
        Rule::LastInstance => last_instance(view),
        _ => keeps(view, clamp),
    }
}

/// Why the last one stays: by the policy, for want of somebody who would hold requests, or not yet.
fn last_instance(view: &View<'_>) -> String {
    match (view.policy.scale_to_zero, &view.seen.held) {
        (None, _) => "the last instance stays".to_owned(),
        (Some(_), Err(why)) => format!("the last instance stays: {why}"),
        (Some(after), Ok(_)) => {
            format!("the last instance stays until there was no work for {}", format_duration(after))
        }
    }
}

/// Reasons for which nothing is taken away.
fn keeps(view: &View<'_>, clamp: &Clamp) -> String {
    let wanted = clamp.from;
    match clamp.rule {
        Rule::RoleChange => {
            format!("{wanted} waits: leader or master changed, and a full window was not seen since")
        }
        Rule::LoadBalancerUnknown => {
            let missing = view.load().map(|load| load.missing.join(", ")).unwrap_or_default();
            format!("{wanted} waits: a part of the load is not known: {missing}")
        }
        Rule::Queue => format!("{wanted} waits: requests are waiting"),
        Rule::Errors => format!("{wanted} waits: responses 5xx increase"),
        Rule::OldWorkers => format!("{wanted} would cut sessions of an old HAProxy process"),
        _ => {
            format!("{wanted} waits: a queue grew in the last {}", format_duration(view.policy.panic.window))
        }
    }
}

fn stabilization(view: &View<'_>, clamp: &Clamp) -> String {
    let down = clamp.to > clamp.from;
    let behavior = if down { &view.policy.scale_down } else { &view.policy.scale_up };
    let span = behavior.window(view.seen.timing.block);
    let (window, to) = (format_duration(span), clamp.to);
    if !view.seen.memory.range(view.policy, view.now, span, to).full {
        return format!("{to} stays until a full window of {window} was watched");
    }
    let what = if down { "greatest" } else { "least" };
    format!("{to} is the {what} that was needed in the last {window}")
}
