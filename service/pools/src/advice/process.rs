//! What the process itself lacks: an end for old ones, and a socket that weir can use.

use haproxy_cfg::{Holding, InForce, Known, Setting};

use super::{Advice, Setup};

pub(super) fn advise(all: &InForce<'_>, setup: &Setup<'_>) -> Vec<Advice> {
    let mut advice: Vec<Advice> = hard_stop(all).into_iter().collect();
    advice.extend(sockets(all).filter_map(|(global, socket)| level(global, socket, setup)));
    advice.extend(listeners(all, setup));
    advice
}

/// `hard-stop-after`, in any `global` section.
fn hard_stop(all: &InForce<'_>) -> Option<Advice> {
    let is_missing = |global: &Holding<'_>| global.known("hard-stop-after") == Known::Unset;
    if !all.is_complete || !all.of("global").all(is_missing) {
        return None;
    }
    let text = "`hard-stop-after` is missing: after a reload the old process stays as long as its longest session, with 11 \
                to 14 MiB each (229 MiB with the tunnels of 20 reloads); write `hard-stop-after 5m`, or as long as \
                your longest request";
    all.of("global").next().map(|global| Advice::of(global, global.header.number, text))
}

/// Every `stats socket` line with its section.
fn sockets<'a, 'd>(all: &'a InForce<'d>) -> impl Iterator<Item = (&'a Holding<'d>, &'a Setting<'d>)> {
    let is_socket = |setting: &&Setting<'_>| {
        setting.line.keyword() == Some("stats") && setting.line.word(1) == Some("socket")
    };
    all.of("global")
        .flat_map(move |global| global.settings.iter().filter(is_socket).map(move |socket| (global, socket)))
}

/// Whether the line is there, and says what it looks like.
fn is_certain(global: &Holding<'_>, socket: &Setting<'_>) -> bool {
    socket.is_certain && !global.is_conditional
}

/// The socket that weir uses must take commands.
fn level(global: &Holding<'_>, socket: &Setting<'_>, setup: &Setup<'_>) -> Option<Advice> {
    let address = socket.line.word(2)?;
    let is_weirs = setup.stats_socket == Some(address.strip_prefix("unix@").unwrap_or(address));
    let level = argument(socket, "level").unwrap_or("operator");
    if !is_weirs || !is_certain(global, socket) || level == "admin" {
        return None;
    }
    let text = format!(
        "`stats socket {address}` has the level `{level}`: HAProxy answers commands that change something with \
         `Permission denied`, so that every change needs a reload; write `level admin` (and `mode 600`, or a group)"
    );
    Some(Advice::of(global, socket.line.number, text))
}

/// Some socket must hand the listeners over, where no master process does.
fn listeners(all: &InForce<'_>, setup: &Setup<'_>) -> Option<Advice> {
    let hands_over = |(global, socket): (&Holding<'_>, &Setting<'_>)| {
        !is_certain(global, socket) || argument(socket, "expose-fd") == Some("listeners")
    };
    let has_master = all.of("global").any(|global| global.known("master-worker") != Known::Unset);
    let is_needed = setup.reloads_by_command && all.is_complete && !has_master;
    if !is_needed || sockets(all).any(hands_over) {
        return None;
    }
    let text = "no `stats socket` has `expose-fd listeners`: unless HAProxy runs as master and workers (`-W`), a reload gets \
                the listening sockets from the old process there (`haproxy -sf … -x SOCKET`); without it 8 of 48,008 \
                and 5 of 96,016 connections were reset over 50 reloads, with it none";
    sockets(all).next().map(|(global, socket)| Advice::of(global, socket.line.number, text))
}

/// The word after `name`; a later one counts.
fn argument<'d>(setting: &Setting<'d>, name: &str) -> Option<&'d str> {
    let words = setting.line.words.as_slice();
    let at = words.iter().skip(3).rposition(|word| word.value == name)? + 3;
    setting.line.word(at + 1)
}
