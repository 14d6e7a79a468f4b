//! Which top-level element of a template read what.
//!
//! So a changed answer leads to the elements that it concerns without a look at all the others, and what the whole template read is
//! known without going through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_pools::Query;

use crate::chunks::Seen;

/// What all elements read, and what of it is waited for.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    reads: Gathered,
    waiting: Gathered,
}

/// Queries, with the elements that they concern.
#[derive(Debug, Default)]
struct Gathered {
    elements: BTreeMap<Arc<Query>, BTreeSet<usize>>,
    /// The same the other way around, in order.
    queries: BTreeMap<usize, Vec<Arc<Query>>>,
    /// The queries alone, where none came or went since.
    all: Option<Arc<BTreeSet<Query>>>,
}

impl Readings {
    /// An element was rendered anew, and read this.
    pub(crate) fn put(&mut self, element: usize, seen: Seen) {
        self.reads.put(element, seen.reads);
        self.waiting.put(element, seen.waiting);
    }

    /// The elements that read one of these.
    pub(crate) fn elements(&self, changed: &BTreeSet<&Query>) -> BTreeSet<usize> {
        changed.iter().filter_map(|query| self.reads.elements.get(*query)).flatten().copied().collect()
    }

    /// All that was read, and what is waited for.
    pub(crate) fn all(&mut self) -> (Arc<BTreeSet<Query>>, Arc<BTreeSet<Query>>) {
        (self.reads.all(), self.waiting.all())
    }
}

impl Gathered {
    fn put(&mut self, element: usize, mut queries: Vec<Arc<Query>>) {
        queries.sort();
        queries.dedup();
        if self.queries.get(&element).is_some_and(|before| *before == queries) {
            return;
        }
        for query in self.queries.remove(&element).unwrap_or_default() {
            self.take(&query, element);
        }
        for query in &queries {
            self.add(query, element);
        }
        self.queries.insert(element, queries);
    }

    fn add(&mut self, query: &Arc<Query>, element: usize) {
        let elements = self.elements.entry(query.clone()).or_default();
        if elements.is_empty() {
            self.all = None;
        }
        elements.insert(element);
    }

    fn take(&mut self, query: &Arc<Query>, element: usize) {
        let Some(elements) = self.elements.get_mut(query) else { return };
        elements.remove(&element);
        if elements.is_empty() {
            self.elements.remove(query);
            self.all = None;
        }
    }

    fn all(&mut self) -> Arc<BTreeSet<Query>> {
        let queries = || self.elements.keys().map(|query| Query::clone(query)).collect();
        self.all.get_or_insert_with(|| Arc::new(queries())).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Arc<Query> {
        Arc::new(Query::Key { path: path.into(), datacenter: None })
    }

    fn seen(reads: &[&str]) -> Seen {
        Seen { reads: reads.iter().map(|path| key(path)).collect(), waiting: Vec::new() }
    }

    fn elements(readings: &Readings, path: &str) -> Vec<usize> {
        readings.elements(&BTreeSet::from([&*key(path)])).into_iter().collect()
    }

    #[test]
    fn what_an_element_no_longer_reads_does_not_lead_to_it() {
        let mut readings = Readings::default();
        readings.put(0, seen(&["b", "a", "b"]));
        readings.put(3, seen(&["b"]));
        let (before, _) = readings.all();
        assert_eq!((elements(&readings, "a"), elements(&readings, "b")), (vec![0], vec![0, 3]));
        readings.put(0, seen(&["b"]));
        readings.put(0, seen(&["a", "b"]));
        assert_eq!((*readings.all().0).clone(), *before);
        readings.put(0, seen(&["c"]));
        assert_eq!((elements(&readings, "a"), elements(&readings, "b")), (vec![], vec![3]));
        let (now, waiting) = readings.all();
        assert_eq!(now.iter().collect::<Vec<_>>(), [&*key("b"), &*key("c")]);
        readings.put(3, seen(&["b"]));
        assert!(Arc::ptr_eq(&now, &readings.all().0) && waiting.is_empty());
    }
}
