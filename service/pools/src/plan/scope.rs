//! Which parts of the files a plan looks at.
//!
//! Sections know nothing of one another but for what `defaults` give them, so a plan for the pools that changed is the
//! plan for all of them, as long as the others are settled. Where the two configurations do not line up section by
//! section, where `defaults` differ or `.if` blocks may reach over sections, everything is looked at.

use std::collections::BTreeSet;

use haproxy_cfg::{Part, PoolNames, Sections};

use super::Situation;

/// The parts of each file, in load order.
pub(super) struct Scope<'a> {
    pub(super) loaded: Vec<Vec<&'a Part>>,
    pub(super) wanted: Vec<Vec<&'a Part>>,
}

impl<'a> Scope<'a> {
    /// All parts.
    pub(super) fn everything(situation: &Situation<'a>) -> Self {
        let all = |files: &'a [Sections]| files.iter().map(|file| file.parts().iter().collect()).collect();
        Self { loaded: all(situation.loaded), wanted: all(situation.wanted) }
    }

    /// The parts that differ, the pools that are `touched` or in which something was begun, and what they inherit from.
    pub(super) fn touched(situation: &Situation<'a>, touched: &BTreeSet<String>) -> Self {
        Self::narrow(situation, touched).unwrap_or_else(|| Self::everything(situation))
    }

    fn narrow(situation: &Situation<'a>, touched: &BTreeSet<String>) -> Option<Self> {
        if situation.loaded.len() != situation.wanted.len() {
            return None;
        }
        let mut scope = Self { loaded: Vec::new(), wanted: Vec::new() };
        let concerned = concerned(situation, touched);
        for (loaded, wanted) in situation.loaded.iter().zip(situation.wanted) {
            let (loaded, wanted) = scope_of_file(&concerned, loaded.parts(), wanted.parts())?;
            scope.loaded.push(loaded);
            scope.wanted.push(wanted);
        }
        Some(scope)
    }
}

type Pair<'a> = (Vec<&'a Part>, Vec<&'a Part>);

/// The names of the pools that are looked at whatever their texts say.
fn concerned<'a>(situation: &Situation<'a>, touched: &'a BTreeSet<String>) -> PoolNames<'a> {
    let names = touched.iter().chain(situation.wake.backends()).chain(situation.memory.backends());
    names.map(String::as_str).collect()
}

fn scope_of_file<'a>(concerned: &PoolNames<'_>, loaded: &'a [Part], wanted: &'a [Part]) -> Option<Pair<'a>> {
    let mut kept = Pair::default();
    if loaded.len() != wanted.len() {
        return None;
    }
    for (old, new) in loaded.iter().zip(wanted) {
        let is_same = old.says_the_same(new);
        let is_base = new.is_defaults();
        if (is_base && !is_same) || new.has_conditions() || old.has_conditions() {
            return None;
        }
        if is_base || !is_same || new.is_one_of(concerned) {
            kept.0.push(old);
            kept.1.push(new);
        }
    }
    Some(kept)
}
