//! Consul's catalogue: nodes, services, checks, and the indexes that blocking queries watch.
//!
//! Pure. Inputs: changes, each with the index of its write. Outputs: whether anything changed, and the
//! indexes per table and per service that the same change would move in Consul's state store. A change
//! that changes nothing moves no index.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A thing that was stored, with the indexes of its first and its last change.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// Stores `value` under `key`; false when it was there already, unchanged.
fn put<T: PartialEq>(map: &mut BTreeMap<String, Entry<T>>, key: &str, value: T, index: u64) -> bool {
    match map.get_mut(key) {
        Some(entry) if entry.value == value => return false,
        Some(entry) => (entry.value, entry.modify_index) = (value, index),
        None => {
            map.insert(key.to_owned(), Entry { value, create_index: index, modify_index: index });
        }
    }
    true
}

/// What is registered of a node itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeDef {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) datacenter: String,
    pub(crate) tagged_addresses: Map<String, Value>,
    pub(crate) meta: Map<String, Value>,
}

/// What is registered of a service instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ServiceDef {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) address: String,
    pub(crate) port: i64,
    pub(crate) meta: Map<String, Value>,
    pub(crate) weights: (i64, i64),
    pub(crate) enable_tag_override: bool,
}

/// What is registered of a check, its status included.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CheckDef {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) notes: String,
    pub(crate) output: String,
    pub(crate) service_id: String,
    pub(crate) service_name: String,
    pub(crate) service_tags: Vec<String>,
    pub(crate) kind: String,
}

/// A node with what runs on it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) def: NodeDef,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
    pub(crate) services: BTreeMap<String, Entry<ServiceDef>>,
    pub(crate) checks: BTreeMap<String, Entry<CheckDef>>,
}

/// A check was registered for a service that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MissingService;

/// Nodes by name, and the indexes of Consul's tables.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) nodes_index: u64,
    pub(crate) services_index: u64,
    pub(crate) checks_index: u64,
    service_indexes: BTreeMap<String, u64>,
    /// When a service name lost its last instance, whichever name: what a query for an unknown name watches.
    last_extinction: u64,
}

impl Catalog {
    /// The index of everything that is said about the instances of `service`.
    pub(crate) fn service_index(&self, service: &str) -> u64 {
        match self.service_indexes.get(service) {
            Some(index) => *index,
            None if self.last_extinction > 0 => self.last_extinction,
            None => self.nodes_index.max(self.services_index).max(self.checks_index),
        }
    }

    pub(crate) fn ensure_node(&mut self, def: &NodeDef, index: u64) -> bool {
        match self.nodes.get_mut(&def.name) {
            Some(node) if node.def == *def => return false,
            Some(node) => (node.def, node.modify_index) = (def.clone(), index),
            None => {
                let (services, checks) = (BTreeMap::new(), BTreeMap::new());
                let node =
                    Node { def: def.clone(), create_index: index, modify_index: index, services, checks };
                self.nodes.insert(def.name.clone(), node);
            }
        }
        self.nodes_index = index;
        self.touch_services_of(&def.name, index);
        true
    }

    pub(crate) fn ensure_service(&mut self, node: &str, def: ServiceDef, index: u64) -> bool {
        let Some(entry) = self.nodes.get_mut(node) else { return false };
        let (id, name) = (def.id.clone(), def.name.clone());
        let before = entry.services.get(&id).map(|old| old.value.name.clone());
        if !put(&mut entry.services, &id, def, index) {
            return false;
        }
        self.services_index = index;
        self.service_indexes.insert(name.clone(), index);
        if let Some(before) = before.filter(|before| *before != name) {
            self.settle_service(&before, index);
        }
        true
    }

    /// Registers or changes a check; fills in the name and tags of its service.
    pub(crate) fn ensure_check(
        &mut self,
        node: &str,
        mut def: CheckDef,
        index: u64,
    ) -> Result<bool, MissingService> {
        let Some(entry) = self.nodes.get_mut(node) else { return Ok(false) };
        if !def.service_id.is_empty() {
            let service = entry.services.get(&def.service_id).ok_or(MissingService)?;
            def.service_name.clone_from(&service.value.name);
            def.service_tags.clone_from(&service.value.tags);
        }
        let (id, service) = (def.id.clone(), def.service_name.clone());
        let changed = put(&mut entry.checks, &id, def, index);
        if changed {
            self.touch_checks(node, &service, index);
        }
        Ok(changed)
    }

    pub(crate) fn remove_service(&mut self, node: &str, id: &str, index: u64) -> bool {
        let Some(entry) = self.nodes.get_mut(node) else { return false };
        let Some(service) = entry.services.remove(id) else { return false };
        entry.checks.retain(|_, check| check.value.service_id != id);
        // The table of checks moves even when the service had none: so does Consul's.
        (self.services_index, self.checks_index) = (index, index);
        self.settle_service(&service.value.name, index);
        true
    }

    pub(crate) fn remove_check(&mut self, node: &str, id: &str, index: u64) -> bool {
        let Some(entry) = self.nodes.get_mut(node) else { return false };
        let Some(check) = entry.checks.remove(id) else { return false };
        self.touch_checks(node, &check.value.service_name, index);
        true
    }

    pub(crate) fn remove_node(&mut self, node: &str, index: u64) -> bool {
        let Some(entry) = self.nodes.get(node) else { return false };
        let services: Vec<String> = entry.services.keys().cloned().collect();
        for id in services {
            self.remove_service(node, &id, index);
        }
        self.nodes.remove(node);
        (self.nodes_index, self.checks_index) = (index, index);
        true
    }

    pub(crate) fn check(&self, node: &str, id: &str) -> Option<&CheckDef> {
        self.nodes.get(node)?.checks.get(id).map(|entry| &entry.value)
    }

    /// The instances of a service, ordered by node and ID.
    pub(crate) fn instances<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = (&'a Node, &'a Entry<ServiceDef>)> {
        self.nodes.values().flat_map(move |node| {
            let of_name = node.services.values().filter(move |entry| entry.value.name == service);
            of_name.map(move |entry| (node, entry))
        })
    }

    fn touch_checks(&mut self, node: &str, service: &str, index: u64) {
        self.checks_index = index;
        if service.is_empty() {
            self.touch_services_of(node, index);
        } else {
            self.service_indexes.insert(service.to_owned(), index);
        }
    }

    fn touch_services_of(&mut self, node: &str, index: u64) {
        let Some(entry) = self.nodes.get(node) else { return };
        for service in entry.services.values() {
            self.service_indexes.insert(service.value.name.clone(), index);
        }
    }

    /// After an instance of `service` went: its index moves, or goes with the last instance.
    fn settle_service(&mut self, service: &str, index: u64) {
        if self.instances(service).next().is_some() {
            self.service_indexes.insert(service.to_owned(), index);
        } else {
            self.service_indexes.remove(service);
            self.last_extinction = index;
        }
    }
}

impl Node {
    /// The checks that count for a service: the node's own and the service's.
    pub(crate) fn checks_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Entry<CheckDef>> {
        let counts =
            move |check: &&Entry<CheckDef>| check.value.service_id.is_empty() || check.value.service_id == id;
        self.checks.values().filter(counts)
    }
}
