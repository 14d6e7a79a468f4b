//! `weir policy explain`: the last decision of a policy, for people: inputs with their age, votes, rules,
//! what came of it.
//!
//! In: the status of a running weir. Out: a page of text. Fails, and names those that there are, where no
//! policy is called so.

use std::fmt::Write as _;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;

use crate::short::short_words;
use crate::status::{DrainStatus, LeaderStatus, PolicyStatus, ScalingStatus, Status};

/// What is known of the policies of a job, or of one of its groups.
pub(crate) fn page(status: &Status, target: &str, now: Timestamp) -> anyhow::Result<String> {
    let Some(scaling) = &status.scaling else {
        bail!("this weir does not scale: its configuration has no block `nomad`");
    };
    let found: Vec<&PolicyStatus> =
        scaling.policies.iter().filter(|policy| is_called(policy, target)).collect();
    if found.is_empty() {
        bail!("there is no scaling policy of {target}; {}", others(scaling));
    }
    let mut page = String::new();
    for policy in found {
        let _ = writeln!(page, "{}", heading(policy));
        away(&mut page, status, scaling);
        role(&mut page, &scaling.leader);
        problems(&mut page, policy);
        decision(&mut page, policy, now);
        outcome(&mut page, policy);
    }
    Ok(page)
}

fn is_called(policy: &PolicyStatus, target: &str) -> bool {
    target == policy.job || target == format!("{}/{}", policy.job, policy.group)
}

fn others(scaling: &ScalingStatus) -> String {
    let names: Vec<String> =
        scaling.policies.iter().map(|policy| format!("{}/{}", policy.job, policy.group)).collect();
    if names.is_empty() {
        format!("Nomad ({}) lists none", scaling.nomad.state)
    } else {
        format!("there is {}", names.join(", "))
    }
}

fn heading(policy: &PolicyStatus) -> String {
    let PolicyStatus { namespace, job, group, min, max, .. } = policy;
    format!("{job}/{group} in namespace {namespace}, {min} to {max} instances")
}

/// A line with a word in front of it.
fn line(page: &mut String, word: &str, text: &str) {
    let _ = writeln!(page, "  {word:<10} {}", short_words(text));
}

/// What no decision comes to anything without.
fn away(page: &mut String, status: &Status, scaling: &ScalingStatus) {
    if let Some(error) = &scaling.nomad.error {
        line(page, "trouble", &format!("nothing is scaled until Nomad answers again: {error}"));
    }
    if let Some(error) = &status.consul.error {
        // A leader is one for a few seconds more; but it drains by means of Consul.
        let nothing = if scaling.leader.state == "leading" { "is taken away" } else { "is scaled" };
        line(page, "trouble", &format!("nothing {nothing} until Consul answers again: {error}"));
    }
}

fn role(page: &mut String, leader: &LeaderStatus) {
    let leads = match (leader.state.as_str(), &leader.holder) {
        ("leading", _) => return,
        ("not_seeking", _) => "it takes the lead only while Nomad answers".to_owned(),
        (_, Some(holder)) => format!("the leader is {holder}"),
        (_, None) => "it is not known which weir leads".to_owned(),
    };
    line(page, "role", &format!("this weir decides and does not act; {leads}"));
}

fn problems(page: &mut String, policy: &PolicyStatus) {
    for problem in &policy.problems {
        line(page, "mistake", problem);
    }
    if policy.last_good {
        line(page, "in force", "the last version without a mistake");
    }
    if let Some(trouble) = &policy.trouble {
        line(page, "trouble", trouble);
    }
}

fn decision(page: &mut String, policy: &PolicyStatus, now: Timestamp) {
    let Some(decision) = &policy.last_decision else {
        return line(page, "decision", "none yet");
    };
    line(page, "decision", text(decision, "reason"));
    line(page, "made", &made(policy, decision, now));
    line(page, "load", &load(&decision["demand"]));
    for vote in list(decision, "votes") {
        line(page, "vote", &voted(vote));
        line(page, "", &numbers(&vote["inputs"]));
    }
    for (clamp, words) in list(decision, "clamps").iter().zip(list(decision, "words")) {
        let (rule, why) = (text(clamp, "rule"), words.as_str().unwrap_or_default());
        line(page, "rule", &format!("{rule}: {} becomes {}: {why}", clamp["from"], clamp["to"]));
    }
    if decision["alarm"] == true {
        let tries = "another increase is tried when the last one is 5 minutes ago";
        line(page, "ALARM", &format!("a person should look: the rule above says at what; {tries}"));
    }
}

/// When it was made, and how old what it was made from was then.
fn made(policy: &PolicyStatus, decision: &Value, now: Timestamp) -> String {
    let Some(decided) = policy.decided else { return "at an unknown time".to_owned() };
    let age = |from: Option<Timestamp>| {
        from.map_or("of an unknown age".to_owned(), |from| format!("{:.1} s old", seconds(decided, from)))
    };
    format!(
        "{:.1} s ago; what it saw of HAProxy was {}, of the job {} (index {})",
        seconds(now, decided),
        age(policy.sampled),
        age(policy.read),
        decision["job_modify_index"]
    )
}

fn seconds(later: Timestamp, earlier: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}

fn load(demand: &Value) -> String {
    match demand["unknown"]["reason"].as_str() {
        Some(reason) => format!("unknown: {reason}"),
        None => numbers(&demand["known"]) + &unseen(&demand["known"]),
    }
}

/// The part of the load that is on top of the numbers.
fn unseen(load: &Value) -> String {
    let missing: Vec<&str> = list(load, "missing").iter().filter_map(Value::as_str).collect();
    if missing.is_empty() {
        String::new()
    } else {
        format!("; and what is not known: {}", missing.join(", "))
    }
}

/// Names with their numbers; what is no number is left out.
fn numbers(of: &Value) -> String {
    let number = |(name, value): (&String, &Value)| {
        value.as_f64().map(|value| format!("{} {}", name.replace('_', " "), rounded(value)))
    };
    let numbers: Vec<String> = of.as_object().into_iter().flatten().filter_map(number).collect();
    numbers.join(", ")
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn voted(vote: &Value) -> String {
    let wants = vote["wants"].as_u64().map_or("cannot tell".to_owned(), |wants| format!("wants {wants}"));
    format!("{} ({}) {wants}: {}", text(vote, "check"), text(vote, "strategy"), text(vote, "reason"))
}

fn outcome(page: &mut String, policy: &PolicyStatus) {
    if let Some(deployment) = &policy.deployment {
        line(page, "deployment", deployment);
    }
    if let Some(drain) = &policy.drain {
        drained(page, drain);
    }
    if let Some(scale) = &policy.last_scale {
        let result = scale.error.as_ref().map_or("taken".to_owned(), |error| format!("not taken: {error}"));
        let at = scale.at.strftime("%Y-%m-%dT%H:%M:%SZ");
        line(page, "last scale", &format!("{at} from {} to {}: {result}", scale.from, scale.to));
    }
    if let Some(seconds) = policy.start_seconds {
        line(page, "start", &format!("instances served {seconds:.1} s after the last increase"));
    }
    if policy.blocked_seconds > 0.0 {
        line(page, "blocked", &format!("{:.0} s in all, while more was needed", policy.blocked_seconds));
    }
    let counts: Vec<String> =
        policy.decisions.iter().map(|(result, count)| format!("{result} {count}")).collect();
    line(page, "decisions", &counts.join(", "));
}

fn drained(page: &mut String, drain: &DrainStatus) {
    let left = drain.seconds_left.map_or(String::new(), |left| format!(", {left:.0} s at most"));
    line(page, "drain", &format!("to {}: {}{left}", drain.to, drain.words));
    for instance in &drain.instances {
        let servers = instance.servers.join(", ");
        line(page, "", &format!("[{}] {servers}: {}", instance.index, instance.words));
    }
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
