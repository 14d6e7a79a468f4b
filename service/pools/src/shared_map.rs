//! A sorted map that is changed again and again, each version beside the one before.
//!
//! Entries stand in leaves of a few dozen. A clone shares all leaves, a change copies one of them, and what two versions share is
//! passed over where they are compared. So a change of one entry among thousands costs as much as among a hundred. It holds what a
//! [`BTreeMap`] holds after the same changes (held by a property test).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many entries a leaf has at most. (The tests' maps are small.)
const LEAF: usize = if cfg!(test) { 4 } else { 32 };

/// Entries in order of their keys: one at least.
type Leaf<K, V> = Vec<(K, V)>;

/// The map. A clone costs nothing.
#[derive(Debug)]
pub struct SharedMap<K, V> {
    leaves: Arc<Vec<Arc<Leaf<K, V>>>>,
}

impl<K, V> SharedMap<K, V> {
    /// A map without entries.
    pub fn new() -> Self {
        Self { leaves: Arc::default() }
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves.iter().flat_map(|leaf| leaf.iter()).map(|(key, value)| (key, value))
    }

    /// All values, in order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    /// The value of a key, and the key as it stands here.
    pub fn entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (leaf, place) = self.place(key);
        let (key, value) = &self.leaves.get(leaf)?[place.ok()?];
        Some((key, value))
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entry(key).is_some()
    }

    /// The leaf that a key belongs to, and where it is there or would be.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let begins = |leaf: &Arc<Leaf<K, V>>| leaf.first().is_some_and(|(first, _)| first.borrow() <= key);
        let at = self.leaves.partition_point(begins).saturating_sub(1);
        let search = |leaf: &Arc<Leaf<K, V>>| leaf.binary_search_by(|(known, _)| known.borrow().cmp(key));
        (at, self.leaves.get(at).map_or(Err(0), search))
    }

    /// The entries that are not in what both versions share, in order, with the value in this one and in the other. They may still
    /// be equal.
    pub fn unshared<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
        let (mut mine, mut others) = (Walk::over(self), Walk::over(other));
        std::iter::from_fn(move || {
            mine.pass_shared(&mut others);
            let order = match (mine.here(), others.here()) {
                (Some((mine, _)), Some((other, _))) => mine.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let one = if order.is_le() { mine.next() } else { None };
            let two = if order.is_ge() { others.next() } else { None };
            let (key, _) = one.or(two)?;
            Some((key, one.map(|(_, value)| value), two.map(|(_, value)| value)))
        })
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Gives a key a value. Returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = self.place(&key);
        let leaves = Arc::make_mut(&mut self.leaves);
        let Some(leaf) = leaves.get_mut(at).map(Arc::make_mut) else {
            leaves.push(Arc::new(vec![(key, value)]));
            return None;
        };
        match place {
            Ok(place) => return Some(std::mem::replace(&mut leaf[place].1, value)),
            Err(place) => leaf.insert(place, (key, value)),
        }
        if leaf.len() > LEAF {
            let rest = leaf.split_off(LEAF / 2);
            leaves.insert(at + 1, Arc::new(rest));
        }
        None
    }

    /// Takes a key out. Returns the value that it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, Ok(place)) = self.place(key) else { return None };
        let leaves = Arc::make_mut(&mut self.leaves);
        let leaf = Arc::make_mut(&mut leaves[at]);
        let (_, value) = leaf.remove(place);
        if leaf.is_empty() {
            leaves.remove(at);
        }
        Some(value)
    }

    /// Takes out what is not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        if self.iter().any(|(key, value)| !keep(key, value)) {
            let kept = self.iter().filter(|(key, value)| keep(key, value));
            *self = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        }
    }
}

/// Where a walk over the entries is.
struct Walk<'a, K, V> {
    leaves: &'a [Arc<Leaf<K, V>>],
    /// In the first leaf.
    at: usize,
}

impl<'a, K, V> Walk<'a, K, V> {
    fn over(map: &'a SharedMap<K, V>) -> Self {
        Self { leaves: &map.leaves, at: 0 }
    }

    fn here(&self) -> Option<&'a (K, V)> {
        self.leaves.first()?.get(self.at)
    }

    fn next(&mut self) -> Option<&'a (K, V)> {
        let here = self.here()?;
        self.at += 1;
        if self.here().is_none() {
            (self.leaves, self.at) = (&self.leaves[1..], 0);
        }
        Some(here)
    }

    /// Passes over the leaves that both have next.
    fn pass_shared(&mut self, other: &mut Self) {
        if self.at > 0 || other.at > 0 {
            return;
        }
        let both = self.leaves.iter().zip(other.leaves);
        let shared = both.take_while(|(mine, others)| Arc::ptr_eq(mine, others)).count();
        (self.leaves, other.leaves) = (&self.leaves[shared..], &other.leaves[shared..]);
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone() }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.unshared(other).all(|(_, mine, others)| mine == others)
    }
}

impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord, V> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries = entries.into_iter().collect::<BTreeMap<K, V>>().into_iter();
        let leaf = || Some(entries.by_ref().take(LEAF).collect::<Leaf<K, V>>());
        let leaves = std::iter::from_fn(leaf).take_while(|leaf| !leaf.is_empty()).map(Arc::new);
        Self { leaves: Arc::new(leaves.collect()) }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A key with the value that it gets, or without the one that it loses.
    fn change() -> impl Strategy<Value = (u8, Option<u8>)> {
        (0..24_u8, prop::option::weighted(0.7, 0..3_u8))
    }

    /// What follows from some changes, as both kinds of map.
    fn changed(
        (mut map, mut plain): (SharedMap<u8, u8>, BTreeMap<u8, u8>),
        changes: &[(u8, Option<u8>)],
    ) -> (SharedMap<u8, u8>, BTreeMap<u8, u8>) {
        for (key, value) in changes {
            match value {
                Some(value) => assert_eq!(map.insert(*key, *value), plain.insert(*key, *value)),
                None => assert_eq!(map.remove(key), plain.remove(key)),
            }
        }
        (map, plain)
    }

    fn entries<'a>(entries: impl Iterator<Item = (&'a u8, &'a u8)>) -> Vec<(u8, u8)> {
        entries.map(|(key, value)| (*key, *value)).collect()
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds(
            first in prop::collection::btree_map(0..24_u8, 0..3_u8, 0..20),
            then in prop::collection::vec(change(), 0..40),
            later in prop::collection::vec(change(), 0..6),
            kept in 0..24_u8,
        ) {
            let one = changed((first.clone().into_iter().collect(), first), &then);
            let mut two = changed(one.clone(), &later);
            two.0.retain(|key, _| *key != kept);
            two.1.remove(&kept);
            for (map, plain) in [&one, &two] {
                prop_assert_eq!(entries(map.iter()), entries(plain.iter()));
                prop_assert_eq!(map.is_empty(), plain.is_empty());
                prop_assert!(map.leaves.iter().all(|leaf| (1..=LEAF).contains(&leaf.len())));
                for key in 0..24 {
                    prop_assert_eq!(map.get(&key), plain.get(&key));
                }
            }
            prop_assert_eq!(one.0 == two.0, one.1 == two.1);
            let differing = one.0.unshared(&two.0).filter(|(_, a, b)| a != b);
            let differing: Vec<_> = differing.map(|(key, a, b)| (*key, a.copied(), b.copied())).collect();
            let (a, b) = (&one.1, &two.1);
            let values = |key: u8| (key, a.get(&key).copied(), b.get(&key).copied());
            let expected: Vec<_> = (0..24).map(values).filter(|(_, a, b)| a != b).collect();
            prop_assert_eq!(differing, expected);
        }
    }

    #[test]
    fn a_change_leaves_all_other_leaves_shared() {
        let before: SharedMap<u32, u32> = (0..100).map(|key| (key, key)).collect();
        let mut after = before.clone();
        after.insert(50, 0);
        assert_eq!(before.unshared(&after).count(), LEAF);
        assert_eq!(before.unshared(&before.clone()).count(), 0);
    }
}
