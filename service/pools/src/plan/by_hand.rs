//! What people have set by hand, where there is no plan for what is wanted that says it: before a reload.
//!
//! In: a situation. Out: everything in which the worker differs from what it loaded and was told. Of servers that it did not load, and
//! of pools that are not understood, what was known before.

use std::collections::BTreeSet;

use super::layout::{Known, Layout, Part};
use super::scope::Scope;
use super::turn::Turn;
use super::{ByHand, Situation};

/// What is set by hand now.
pub(super) fn now(situation: &Situation<'_>) -> Vec<ByHand> {
    // With what was loaded as what is wanted, nothing differs but by hand, or because it was begun.
    let as_loaded = Situation { wanted: situation.loaded, ..*situation };
    let layout = Layout::read(&Scope::everything(&as_loaded).loaded);
    let (mut found, mut understood) = (Vec::new(), BTreeSet::new());
    let mut known = Known::default();
    for part in layout.pools() {
        let mut turn = Turn::new(&as_loaded);
        if turn.pool(Some(part), part, known.changeable(part.pool())).is_ok() {
            understood.insert(part.pool().name);
            found.append(&mut turn.plan.by_hand);
        }
    }
    let is_seen = |known: &&ByHand| {
        let pool = layout.pool(&known.backend).map(Part::pool).filter(|pool| understood.contains(pool.name));
        pool.is_some_and(|pool| pool.server(&known.server).is_some())
    };
    found.extend(situation.memory.by_hand.iter().filter(|known| !is_seen(known)).cloned());
    found
}

#[cfg(test)]
mod tests;
