//! `weir servers`: what each server of the pools does and why, from a running weir's status.
//!
//! In: the status, and how wide the terminal is. Out: a table per backend. Causes that do not fit beside their server
//! are wrapped; where there is no terminal, every server has one line.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use terminal_size::{Height, Width};
use weir_scaling::ServerState;

use crate::config::did_you_mean;
use crate::show::fetch;
use crate::status::{HaproxyStatus, IntentStatus, PoolStatus, ServerStatus, Status};

/// A cause stands beside its server where it has so many columns, else below it.
const NARROWEST: usize = 24;
/// How often `--watch` looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The tables of the weir that listens at `address`, of one backend or of all.
pub(crate) async fn page(address: &str, backend: Option<&str>) -> anyhow::Result<String> {
    table(&fetch(address).await?, backend, Timestamp::now(), size().map(|(width, _)| width))
}

/// Shows the tables anew every second until the process is ended. Fails where the first look does.
pub(crate) async fn watch(address: &str, backend: Option<&str>) -> anyhow::Result<()> {
    let mut text = page(address, backend).await?;
    loop {
        if !draw(&text, address) {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
        // A weir that is started anew answers again soon.
        text = page(address, backend).await.unwrap_or_else(|error| format!("{error:#}\n"));
    }
}

/// Draws over what stood there. Returns whether somebody still looks.
fn draw(text: &str, address: &str) -> bool {
    let mut out = std::io::stdout();
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string();
    let shown = match size() {
        Some((_, height)) => format!("\x1b[H\x1b[2J{}", cut(text, height)),
        None => text.to_owned(),
    };
    let written = writeln!(out, "{shown}weir at {address}, {now}; ^C ends this");
    written.and_then(|()| out.flush()).is_ok()
}

/// As many lines as there is room for, with one to spare.
fn cut(text: &str, height: usize) -> String {
    let room = height.saturating_sub(3).max(1);
    let all = text.lines().count();
    let shown: String = text.split_inclusive('\n').take(if all > room { room } else { all }).collect();
    if all > room { format!("{shown}… {} more lines\n", all - room) } else { shown }
}

/// Columns and lines of the terminal that is written to.
fn size() -> Option<(usize, usize)> {
    let (Width(width), Height(height)) =
        terminal_size::terminal_size().filter(|_| std::io::stdout().is_terminal())?;
    Some((width.into(), height.into()))
}

/// The tables as text.
fn table(
    status: &Status,
    backend: Option<&str>,
    now: Timestamp,
    width: Option<usize>,
) -> anyhow::Result<String> {
    let several = status.haproxy.len() > 1;
    let wanted = |name: &str| backend.is_none_or(|backend| backend == name);
    let mut text = String::new();
    for haproxy in &status.haproxy {
        for pool in haproxy.pools.iter().filter(|pool| wanted(&pool.backend)) {
            if !text.is_empty() {
                text.push('\n');
            }
            text += &heading(several.then_some(haproxy), pool);
            text += &rows(pool, now, width);
        }
    }
    if let (true, Some(name)) = (text.is_empty(), backend) {
        let pools = status.haproxy.iter().flat_map(|haproxy| &haproxy.pools);
        let hint = did_you_mean(name, pools.map(|pool| pool.backend.as_str()));
        bail!("weir keeps no servers in a backend {name}{hint}\n`weir servers` lists those it does");
    }
    if text.is_empty() {
        text += "weir keeps no pools\n";
    }
    Ok(text + &elsewhere(status, &wanted))
}

fn heading(haproxy: Option<&HaproxyStatus>, pool: &PoolStatus) -> String {
    let haproxy = haproxy.map_or(String::new(), |haproxy| format!("haproxy {} ", haproxy.name));
    let serving = pool.servers.iter().filter(|server| server.state.is_some_and(ServerState::serves)).count();
    let sum = |count: fn(&ServerStatus) -> Option<u64>| pool.servers.iter().filter_map(count).sum::<u64>();
    format!(
        "{haproxy}backend {}: {serving} of {} servers in use, {} sessions\n",
        pool.backend,
        pool.servers.len(),
        sum(|server| server.sessions)
    )
}

fn rows(pool: &PoolStatus, now: Timestamp, width: Option<usize>) -> String {
    let longest = pool.servers.iter().map(|server| server.name.chars().count()).max();
    let longest = longest.unwrap_or_default().max("SERVER".len());
    let row = |cells: [&str; 6]| {
        let [name, state, sessions, queue, since, cause] = cells;
        let left = format!("  {name:<longest$}  {state:<8}  {sessions:>8}  {queue:>5}  {since:>5}  ");
        beside(&left, cause, width)
    };
    let mut text = row(["SERVER", "STATE", "SESSIONS", "QUEUE", "SINCE", "CAUSE"]);
    for server in &pool.servers {
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let (sessions, queue) = (count(server.sessions), count(server.queue));
        let since = server.since.map_or("-".to_owned(), |since| age(since, now));
        let cause = server.cause.as_deref().unwrap_or("-");
        text += &row([&server.name, word(server.state), &sessions, &queue, &since, cause]);
    }
    text
}

/// A cause beside what it explains, in as many lines as it needs.
fn beside(left: &str, cause: &str, width: Option<usize>) -> String {
    let indent = left.chars().count();
    let Some(width) = width.filter(|width| indent + cause.chars().count() > *width) else {
        return format!("{left}{cause}\n");
    };
    let (indent, first) = if indent + NARROWEST <= width { (indent, left) } else { (6, "") };
    let mut text = if first.is_empty() { format!("{}\n", left.trim_end()) } else { String::new() };
    for (number, line) in wrapped(cause, width.saturating_sub(indent).max(1)).iter().enumerate() {
        let _ = match number {
            0 if !first.is_empty() => writeln!(text, "{first}{line}"),
            _ => writeln!(text, "{:indent$}{line}", ""),
        };
    }
    text
}

/// Lines of at most `width` columns, broken between words; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Intents about servers that are not there (any more): they would hit whoever gets the name next.
fn elsewhere(status: &Status, wanted: &dyn Fn(&str) -> bool) -> String {
    let pools = || status.haproxy.iter().flat_map(|haproxy| &haproxy.pools);
    let is_there = |intent: &IntentStatus| {
        let mut pools = pools().filter(|pool| pool.backend == intent.backend);
        pools.any(|pool| pool.servers.iter().any(|server| server.name == intent.server))
    };
    let mut text = String::new();
    for intent in status.intents.iter().filter(|intent| wanted(&intent.backend) && !is_there(intent)) {
        let _ = writeln!(text, "\n{}/{} is not there: {}", intent.backend, intent.server, intent.words);
    }
    text
}

fn word(state: Option<ServerState>) -> &'static str {
    match state {
        Some(ServerState::Up) => "up",
        Some(ServerState::NoCheck) => "no check",
        Some(ServerState::Down) => "down",
        Some(ServerState::Drain) => "drain",
        Some(ServerState::Maint) => "maint",
        None => "-",
    }
}

/// How long ago, in the largest unit.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
