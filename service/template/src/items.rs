//! What loops turn over, one by one: kept from render to render to see which of them are new.

use std::sync::Arc;

use serde_json::Value;
use weir_pools::{Instance, KeyPair, ServiceEntry};

/// One item of a list.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// With its number for `ServerId`.
    Instance(Listed<Instance>, Option<u32>),
    Service(Listed<ServiceEntry>),
    Pair(Listed<KeyPair>),
    /// What a helper made of something else, as JSON.
    Computed(Box<str>),
}

/// A member of an answer, where it stands in it.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T> {
    list: Arc<[T]>,
    index: usize,
}

impl<T> Listed<T> {
    /// The member at `index`, if there is one.
    pub(crate) fn new(list: &Arc<[T]>, index: usize) -> Self {
        Self { list: list.clone(), index }
    }

    fn get(&self) -> Option<&T> {
        self.list.get(self.index)
    }
}

impl<T: PartialEq> PartialEq for Listed<T> {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.list, &other.list) && self.index == other.index;
        same || self.get() == other.get()
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Instance(a, id), Self::Instance(b, other)) => id == other && a == b,
            (Self::Service(a), Self::Service(b)) => a == b,
            (Self::Pair(a), Self::Pair(b)) => a == b,
            (Self::Computed(a), Self::Computed(b)) => a == b,
            _ => false,
        }
    }
}

impl Item {
    /// What templates see; `None` of what was computed.
    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Self::Instance(listed, id) => listed.get().map(|instance| instance_json(instance, *id)),
            Self::Service(listed) => listed.get().map(handlebars::to_json),
            Self::Pair(listed) => listed.get().map(handlebars::to_json),
            Self::Computed(_) => None,
        }
    }
}

fn instance_json(instance: &Instance, id: Option<u32>) -> Value {
    let mut json = handlebars::to_json(instance);
    if let Value::Object(fields) = &mut json {
        fields.insert("Server".to_owned(), Value::from(instance.server()));
        fields.insert("ServerId".to_owned(), Value::from(id));
    }
    json
}
