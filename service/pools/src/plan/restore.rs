//! What a new worker is told before anything else: what people had set by hand, what is wished of servers, and which
//! servers are known to be down. A worker takes every server for ready and healthy until its first check has ended.

use std::collections::BTreeMap;

use super::command::{self, Reply, Step};
use super::turn::path;
use super::{Admin, ByHand, CheckState, Memory, Observed, ObservedServer, Setting, Wake, Wishes};

/// The commands for a worker that just started. `before`: what the worker before it had. A server that the new one does not have
/// refuses them, which is no harm.
pub fn restore(
    memory: &Memory,
    before: &Observed,
    wishes: &Wishes,
    wakes: &BTreeMap<String, Wake>,
) -> Vec<Step> {
    let by_hand = memory.by_hand().iter().filter_map(set_by_hand);
    let wished = wishes.iter().filter_map(|(backend, server, wish)| {
        state(backend, server, wish.state(), "it is wished so, and HAProxy was reloaded")
    });
    let down = before.pools.iter().flat_map(|(backend, servers)| {
        servers.iter().filter(|(_, server)| is_known_down(server)).filter_map(|(name, _)| {
            let why = "its checks failed before the reload";
            step(&["set", "server", &path(backend, name), "health", "down"], why)
        })
    });
    let wakes = wakes.values().flat_map(|wake| wake.again.iter().cloned());
    wakes.chain(down).chain(wished).chain(by_hand).collect()
}

/// The commands that set again what people had set.
pub fn set_again<'a>(by_hand: impl IntoIterator<Item = &'a ByHand>) -> Vec<Step> {
    by_hand.into_iter().filter_map(set_by_hand).collect()
}

fn is_known_down(server: &ObservedServer) -> bool {
    server.is_down && server.admin != Admin::Maint && server.check != CheckState::None
}

fn set_by_hand(by_hand: &ByHand) -> Option<Step> {
    let ByHand { backend, server, what } = by_hand;
    let (path, why) = (path(backend, server), "a person had set it so before the reload");
    match what {
        Setting::State(admin) => state(backend, server, *admin, why),
        Setting::Weight(weight) => step(&["set", "server", &path, "weight", &weight.to_string()], why),
        Setting::Maxconn(limit) => step(&["set", "maxconn", "server", &path, &limit.to_string()], why),
    }
}

fn state(backend: &str, server: &str, state: Admin, why: &str) -> Option<Step> {
    step(&["set", "server", &path(backend, server), "state", state.word()], why)
}

fn step(words: &[&str], why: &str) -> Option<Step> {
    let command = command::line(words).ok()?;
    Some(Step { command, why: why.to_owned(), expects: Reply::Empty, is_conditional: false })
}
