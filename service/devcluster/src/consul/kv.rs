//! Consul's key-value store with locks.
//!
//! Pure. Inputs: writes with the index and the moment of each. Outputs: whether a write was taken, and the
//! index of a key or a prefix. A key whose lock was lost is refused to everyone until its lock-delay has passed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) value: Vec<u8>,
    pub(crate) flags: u64,
    pub(crate) session: Option<String>,
    pub(crate) lock_index: u64,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// What a PUT wants besides storing the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    Set,
    /// Only if the key's modify index is this one; 0: only if there is no such key.
    Cas(u64),
    Acquire(String),
    Release(String),
}

/// All keys, and what was deleted.
#[derive(Debug, Default)]
pub(crate) struct Kv {
    pub(crate) pairs: BTreeMap<String, Pair>,
    /// When a key was deleted: a query on its prefix must see the index move.
    tombstones: BTreeMap<String, u64>,
    index: u64,
    delays: BTreeMap<String, Instant>,
}

impl Kv {
    /// The index of one key: its own, or the table's while it is not there.
    pub(crate) fn key_index(&self, key: &str) -> u64 {
        self.pairs.get(key).map_or(self.index, |pair| pair.modify_index).max(1)
    }

    /// The index of all keys under a prefix, deletions included.
    pub(crate) fn prefix_index(&self, prefix: &str) -> u64 {
        let living = self.under(prefix).map(|(_, pair)| pair.modify_index).max();
        let dead = self.tombstones.range(prefix.to_owned()..);
        let dead = dead.take_while(|(key, _)| key.starts_with(prefix)).map(|(_, index)| *index).max();
        living.max(dead).unwrap_or(self.index).max(1)
    }

    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Pair)> {
        self.pairs.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    pub(crate) fn put(
        &mut self,
        key: &str,
        value: Vec<u8>,
        flags: u64,
        how: &Put,
        at: (u64, Instant),
    ) -> bool {
        let old = self.pairs.get(key).cloned();
        if !self.may_put(key, old.as_ref(), how, at.1) {
            return false;
        }
        let mut pair = Pair { value, flags, ..old.clone().unwrap_or_default() };
        match how {
            Put::Acquire(session) if pair.session.as_ref() != Some(session) => {
                pair.session = Some(session.clone());
                pair.lock_index += 1;
            }
            Put::Release(_) => pair.session = None,
            _ => {}
        }
        if old.as_ref() != Some(&pair) {
            self.store(key, pair, at.0);
        }
        true
    }

    /// The key's lock was lost a short while ago.
    pub(crate) fn is_delayed(&self, key: &str, now: Instant) -> bool {
        self.delays.get(key).is_some_and(|until| *until > now)
    }

    fn may_put(&self, key: &str, old: Option<&Pair>, how: &Put, now: Instant) -> bool {
        let holder = old.and_then(|pair| pair.session.as_ref());
        match how {
            Put::Set => true,
            Put::Cas(index) => old.map_or(0, |pair| pair.modify_index) == *index,
            Put::Acquire(session) => {
                !self.is_delayed(key, now) && holder.is_none_or(|holder| holder == session)
            }
            Put::Release(session) => holder == Some(session),
        }
    }

    fn store(&mut self, key: &str, mut pair: Pair, index: u64) {
        if pair.create_index == 0 {
            pair.create_index = index;
        }
        pair.modify_index = index;
        self.index = index;
        self.tombstones.remove(key);
        self.pairs.insert(key.to_owned(), pair);
    }

    /// Deletes one key; with `cas` only at that modify index. False when refused.
    pub(crate) fn delete(&mut self, key: &str, cas: Option<u64>, index: u64) -> bool {
        let now_at = self.pairs.get(key).map(|pair| pair.modify_index);
        if cas.is_some() && now_at.is_some() && cas != now_at {
            return false;
        }
        if self.pairs.remove(key).is_some() {
            self.tombstones.insert(key.to_owned(), index);
            self.index = index;
        }
        true
    }

    pub(crate) fn delete_tree(&mut self, prefix: &str, index: u64) {
        let keys: Vec<String> = self.under(prefix).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.delete(&key, None, index);
        }
    }

    /// A session ended: its keys lose their lock, or go, and cannot be locked again for `delay`.
    pub(crate) fn invalidate(&mut self, session: &str, delete: bool, delay: Duration, at: (u64, Instant)) {
        let holds = |pair: &Pair| pair.session.as_deref() == Some(session);
        let held: Vec<String> =
            self.pairs.iter().filter(|(_, pair)| holds(pair)).map(|(key, _)| key.clone()).collect();
        for key in held {
            if delete {
                self.delete(&key, None, at.0);
            } else if let Some(mut pair) = self.pairs.get(&key).cloned() {
                pair.session = None;
                self.store(&key, pair, at.0);
            }
            if !delay.is_zero() {
                self.delays.insert(key, at.1 + delay);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(kv: &mut Kv, session: &str, at: (u64, Instant)) -> bool {
        kv.put("leader", b"x".to_vec(), 0, &Put::Acquire(session.into()), at)
    }

    #[test]
    fn a_lost_lock_is_delayed_and_a_released_one_is_not() {
        let (mut kv, now) = (Kv::default(), Instant::now());
        assert!(lock(&mut kv, "a", (2, now)));
        assert!(!lock(&mut kv, "b", (3, now)));
        assert!(kv.put("leader", Vec::new(), 0, &Put::Release("a".into()), (4, now)));
        assert!(lock(&mut kv, "b", (5, now)), "released: at once");
        assert_eq!(kv.pairs["leader"].lock_index, 2);

        kv.invalidate("b", false, Duration::from_secs(1), (6, now));
        assert_eq!(kv.key_index("leader"), 6, "whoever watches the key sees that it is free");
        assert!(!lock(&mut kv, "a", (7, now + Duration::from_millis(900))));
        assert!(lock(&mut kv, "a", (8, now + Duration::from_millis(1100))));
    }

    #[test]
    fn cas_takes_only_the_index_it_names() {
        let (mut kv, now) = (Kv::default(), Instant::now());
        assert!(kv.put("k", b"1".to_vec(), 0, &Put::Cas(0), (2, now)));
        assert!(!kv.put("k", b"2".to_vec(), 0, &Put::Cas(0), (3, now)));
        assert!(kv.put("k", b"2".to_vec(), 0, &Put::Cas(2), (4, now)));
        assert!(!kv.delete("k", Some(2), 5));
        assert!(kv.delete("k", Some(4), 6));
        assert_eq!(kv.prefix_index("k"), 6, "a deletion moves the prefix's index");
    }

    #[test]
    fn an_unchanged_value_moves_no_index() {
        let (mut kv, now) = (Kv::default(), Instant::now());
        assert!(kv.put("k", b"1".to_vec(), 7, &Put::Set, (2, now)));
        assert!(kv.put("k", b"1".to_vec(), 7, &Put::Set, (3, now)));
        assert_eq!(kv.key_index("k"), 2);
    }
}
