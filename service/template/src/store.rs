//! The lists that the last render looped over, kept as JSON between renders.
//!
//! handlebars copies a list that a helper returns by value, once as a whole and once per turn of the loop; a
//! reference into the data it renders from costs nothing. So the lists live in that data, under names that no
//! template can write, and only those whose answer changed are built again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use handlebars::Context;
use serde_json::{Map, Value};
use weir_pools::{Answer, Catalogue};

use crate::selection::Selection;

/// Lists by selection.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) context: Context,
    entries: BTreeMap<Selection, Entry>,
    next: usize,
}

#[derive(Debug)]
struct Entry {
    slot: String,
    answer: Option<Answer>,
}

impl Default for Store {
    fn default() -> Self {
        Self { context: Context::from(Value::Object(Map::new())), entries: BTreeMap::new(), next: 0 }
    }
}

impl Store {
    /// Brings every list up to date with `catalogue`; a list whose query has no answer is not there.
    pub(crate) fn refresh(&mut self, catalogue: &Catalogue) {
        let Value::Object(lists) = self.context.data_mut() else { return };
        for (selection, entry) in &mut self.entries {
            match catalogue.get(&selection.query()) {
                Some(answer) if entry.answer.as_ref().is_some_and(|known| same(known, answer)) => {}
                Some(answer) => {
                    lists.insert(entry.slot.clone(), selection.select(answer));
                    entry.answer = Some(answer.clone());
                }
                None => {
                    lists.swap_remove(&entry.slot);
                    entry.answer = None;
                }
            }
        }
    }

    /// Where the selected list stands in the context's data.
    pub(crate) fn slot(&self, selection: &Selection) -> Option<&str> {
        self.entries.get(selection).filter(|entry| entry.answer.is_some()).map(|entry| entry.slot.as_str())
    }

    /// Keeps the lists that a render selected, and only those.
    pub(crate) fn keep(&mut self, selected: BTreeSet<Selection>) {
        let Value::Object(lists) = self.context.data_mut() else { return };
        self.entries.retain(|selection, entry| {
            let keep = selected.contains(selection);
            if !keep {
                lists.swap_remove(&entry.slot);
            }
            keep
        });
        for selection in selected {
            let next = &mut self.next;
            self.entries.entry(selection).or_insert_with(|| {
                *next += 1;
                Entry { slot: next.to_string(), answer: None }
            });
        }
    }
}

/// Whether two answers are the very same list in memory.
pub(crate) fn same(a: &Answer, b: &Answer) -> bool {
    match (a, b) {
        (Answer::Instances(a), Answer::Instances(b)) => Arc::ptr_eq(a, b),
        (Answer::Services(a), Answer::Services(b)) => Arc::ptr_eq(a, b),
        (Answer::Pairs(a), Answer::Pairs(b)) => Arc::ptr_eq(a, b),
        _ => a == b,
    }
}
