//! What ends a held request before weir does. Only pools whose servers a template prints are looked at: others do not go to
//! zero.

use std::collections::BTreeMap;
use std::time::Duration;

use haproxy_cfg::{Holding, InForce, Setting};

use super::reload::owner;
use super::{Advice, Setup};
use crate::places::options::duration;

pub(super) fn advise(all: &InForce<'_>, setup: &Setup<'_>) -> Vec<Advice> {
    let Some(deadline) = setup.held_for else { return Vec::new() };
    let pools = all.sections.iter().filter(|section| section.section.is_pool() && !section.is_conditional);
    let short = pools.filter(|pool| is_printed(pool)).filter_map(|pool| of_pool(all, pool, deadline));
    // A line of `defaults` is spoken of once.
    let by_place: BTreeMap<(usize, usize), Advice> =
        short.map(|advice| ((advice.file, advice.line), advice)).collect();
    by_place.into_values().collect()
}

fn is_printed(pool: &Holding<'_>) -> bool {
    pool.own().iter().any(|setting| setting.line.keyword() == Some("server") && setting.is_open)
}

fn of_pool(all: &InForce<'_>, pool: &Holding<'_>, deadline: Duration) -> Option<Advice> {
    let setting = timeout(pool)?;
    let written = setting.line.word(2)?;
    // HAProxy takes 0 for no limit.
    duration(written).filter(|ends| !ends.is_zero() && *ends < deadline)?;
    let text = format!(
        "`timeout server {written}` is shorter than the {deadline:?} for which weir holds a request of a group at zero: \
         HAProxy answers 504 before an instance can; write a longer one here, or a shorter `deadline` in block `wake`"
    );
    Some(Advice::of(owner(all, &setting).unwrap_or(pool), setting.line.number, text))
}

/// The line that says how long a server may be silent, where that is certain.
fn timeout<'d>(pool: &Holding<'d>) -> Option<Setting<'d>> {
    let says = |setting: &&Setting<'d>| {
        setting.line.keyword() == Some("timeout")
            && (setting.line.word(1) == Some("server") || setting.is_unknown(1))
    };
    let last = pool.settings.iter().rfind(says)?;
    (pool.is_complete && last.is_certain).then_some(*last)
}
