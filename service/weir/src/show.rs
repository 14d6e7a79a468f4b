//! `weir status`: the status of a running weir, for people.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use crate::short::{short, short_words};
use crate::status::{
    HaproxyStatus, LastChange, ScalingStatus, Status, TemplateState, TemplateStatus, WakeStatus,
};

/// Reads the status of the weir that listens at `address`.
pub(crate) async fn fetch<T: DeserializeOwned>(address: &str) -> anyhow::Result<T> {
    let url = format!("http://{}/v1/status", host(address));
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).no_proxy().build()?;
    let answer = client.get(&url).send().await;
    let answer = answer.with_context(|| {
        format!("no weir answers at {address}; name another with --address, or its configuration with -c")
    })?;
    if !answer.status().is_success() {
        bail!("{url} answers {}; is this a weir?", answer.status());
    }
    answer
        .json()
        .await
        .with_context(|| format!("the answer of {url} cannot be read; is it the same version?"))
}

/// The host and port of an address that may have been written as a URL.
fn host(address: &str) -> &str {
    address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/')
}

/// The status in a page of text.
pub(crate) fn page(status: &Status) -> String {
    let mut page = String::new();
    let ready = if status.ready { "ready" } else { "not ready" };
    let _ = writeln!(
        page,
        "weir {} in cluster {}, since {}: {ready}",
        status.version, status.cluster, status.started
    );
    for reason in &status.reasons {
        let _ = writeln!(page, "  ! {reason}");
    }
    let consul = &status.consul;
    let error = consul.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let _ = writeln!(
        page,
        "consul   {} since {} ({} watches, {}){error}",
        consul.state, consul.since, consul.watches, consul.mode
    );
    for template in &status.templates {
        let state = template_state(template);
        let _ = writeln!(page, "template {} -> {}: {state}", template.source, template.destination);
    }
    status.haproxy.iter().for_each(|haproxy| haproxy_lines(&mut page, haproxy));
    status.wake.iter().for_each(|wake| wake_line(&mut page, wake));
    for peer in &status.peers {
        let state = if peer.answers { "answers" } else { "does not answer" };
        let error = peer.error.as_ref().map_or(String::new(), |error| format!(": {}", short_words(error)));
        let _ = writeln!(page, "peer     {} {state}{error}", short(&peer.name));
    }
    for intent in &status.intents {
        let _ =
            writeln!(page, "intent   {}/{}: {}", short(&intent.backend), short(&intent.server), intent.words);
    }
    for problem in &status.intent_problems {
        let _ = writeln!(page, "  ! {}", short_words(problem));
    }
    if let Some(scaling) = &status.scaling {
        scaling_lines(&mut page, scaling);
    }
    page
}

fn template_state(template: &TemplateStatus) -> &'static str {
    match template.state {
        TemplateState::InForce => "in force",
        TemplateState::Waiting => "waiting",
        TemplateState::Failed if template.last_good => "cannot be used; the last good source is in force",
        TemplateState::Failed => {
            "cannot be used, and no source of it was good before; the file stays as it is"
        }
        TemplateState::Held => "not in force yet",
    }
}

fn haproxy_lines(page: &mut String, haproxy: &HaproxyStatus) {
    let name = if haproxy.name.is_empty() { String::new() } else { format!(" {}", haproxy.name) };
    let state = serde_json::to_value(haproxy.state).unwrap_or_default();
    let pid = haproxy.pid.map_or(String::new(), |pid| format!(", pid {pid}"));
    let version = haproxy.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    let pending = if haproxy.reload_pending { ", reload pending" } else { "" };
    let _ = writeln!(
        page,
        "haproxy{name}  {}{version}{pid}, {} reloads{pending}",
        state.as_str().unwrap_or_default(),
        haproxy.reloads
    );
    if let Some(why) = &haproxy.unseen {
        let _ = writeln!(page, "  {why}");
    }
    if let Some(change) = &haproxy.last_change {
        let _ = writeln!(page, "  last change {}: {}", change.at, change_words(change));
    }
    for pool in &haproxy.pools {
        let why = pool.held.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        let kept =
            if pool.kept.is_empty() { String::new() } else { format!(", {} KEPT{why}", pool.kept.len()) };
        let _ = writeln!(page, "  pool {}: {} servers{kept}", pool.backend, pool.servers.len());
    }
    for left in &haproxy.left_out {
        let _ = writeln!(
            page,
            "  left out: {} {} on {}: {}: {}",
            short(&left.service),
            short(&left.instance),
            short(&left.node),
            left.place,
            short_words(&left.reason)
        );
    }
}

fn change_words(change: &LastChange) -> String {
    let LastChange { reason, took_ms, result, error, .. } = change;
    if result == "mended" {
        return format!("not put in force, and no longer offered: all is in force ({reason})");
    }
    let error = error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    format!("{result} in {took_ms} ms ({reason}){error}")
}

fn wake_line(page: &mut String, wake: &WakeStatus) {
    let WakeStatus { held, woken, expired, refused, .. } = wake;
    let state = match (wake.state.as_str(), &wake.why) {
        ("unfit", why) => format!("cannot hold: {}", why.as_deref().unwrap_or_default()),
        ("off", _) => "not at zero".to_owned(),
        _ => format!("{held} held"),
    };
    let counts = format!("{woken} woken, {expired} expired, {refused} refused");
    let _ = writeln!(page, "wake     {}: {state}; {counts}", short(&wake.backend));
}

fn scaling_lines(page: &mut String, scaling: &ScalingStatus) {
    let holder = scaling.leader.holder.as_ref().map_or(String::new(), |holder| format!(" {holder}"));
    let error =
        scaling.nomad.error.as_ref().map_or(String::new(), |error| format!(": {}", short_words(error)));
    let _ = writeln!(page, "nomad    {}, {}{holder}{error}", scaling.nomad.state, scaling.leader.state);
    for policy in &scaling.policies {
        let reason = policy.last_decision.as_ref().and_then(|decision| decision.get("reason"));
        let reason = reason.and_then(|reason| reason.as_str()).unwrap_or("no decision yet");
        let problems = policy.problems.join("; ");
        let text = if problems.is_empty() { reason } else { problems.as_str() };
        let _ = writeln!(page, "  {}/{} {}..{}: {text}", policy.job, policy.group, policy.min, policy.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_url() {
        for address in ["127.0.0.1:8717", "http://127.0.0.1:8717", "http://127.0.0.1:8717/"] {
            assert_eq!(host(address), "127.0.0.1:8717");
        }
    }

    #[test]
    fn what_was_refused_and_is_mended_is_not_shown_as_refused() {
        let change = |result: &str, error: Option<&str>| {
            let (at, reason) = (jiff::Timestamp::UNIX_EPOCH, "/t.hbs edited".to_owned());
            let error = error.map(str::to_owned);
            change_words(&LastChange { at, reason, took_ms: 5, result: result.to_owned(), error })
        };
        assert_eq!(change("refused", Some("line 2")), "refused in 5 ms (/t.hbs edited): line 2");
        let mended = "not put in force, and no longer offered: all is in force (/t.hbs edited)";
        assert_eq!(change("mended", None), mended);
    }
}
