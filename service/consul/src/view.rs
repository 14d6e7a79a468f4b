//! What the wide watches show, and which services a change of it touches.
//!
//! Pure: in, answers about nodes and checks; out, names of services to be read. An answer that is `full` touches
//! everything in it: after a restart a modify index says nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::{CheckEntry, NodeServices};

/// Names of services.
pub(crate) type Names = BTreeSet<String>;

/// A check: of which service (empty for its node's), its name and its status. Its output is left out on purpose.
type CheckView = (String, String, String);

/// The nodes and checks of one datacenter, as last seen.
#[derive(Debug, Default)]
pub(crate) struct View {
    nodes: BTreeMap<String, NodeServices>,
    /// By node and check ID.
    checks: BTreeMap<(String, String), CheckView>,
}

impl View {
    /// Takes what stands on a node.
    pub(crate) fn node(&mut self, node: &str, now: NodeServices, full: bool) -> Names {
        let before = self.nodes.remove(node).unwrap_or_default();
        let all = full || before.modified != now.modified;
        let ids: BTreeSet<&String> = before.services.keys().chain(now.services.keys()).collect();
        let touched = ids
            .into_iter()
            .map(|id| [before.services.get(id), now.services.get(id)])
            .filter(|[was, is]| all || was != is)
            .flat_map(|both| both.into_iter().flatten().map(|(name, _)| name.clone()))
            .collect();
        self.nodes.insert(node.to_owned(), now);
        touched
    }

    /// Forgets the nodes that are gone.
    pub(crate) fn only_nodes(&mut self, there: &BTreeSet<String>) -> Names {
        let gone: Vec<String> = self.nodes.keys().filter(|node| !there.contains(*node)).cloned().collect();
        gone.iter()
            .flat_map(|node| {
                let names = self.names_on(node);
                self.nodes.remove(node);
                names
            })
            .collect()
    }

    /// Takes all checks.
    pub(crate) fn checks(&mut self, entries: Vec<CheckEntry>, full: bool) -> Names {
        let now: BTreeMap<_, _> = entries
            .into_iter()
            .map(|check| ((check.node, check.check_id), (check.service_name, check.name, check.status)))
            .collect();
        let before = std::mem::replace(&mut self.checks, now);
        let keys: BTreeSet<_> = before.keys().chain(self.checks.keys()).collect();
        keys.into_iter()
            .map(|key| (key, [before.get(key), self.checks.get(key)]))
            .filter(|(_, [was, is])| full || was != is)
            .flat_map(|(key, both)| both.into_iter().flatten().map(move |check| (key, check)))
            .flat_map(|((node, _), (service, ..))| self.touched_by(node, service))
            .collect()
    }

    fn touched_by(&self, node: &str, service: &str) -> Names {
        if service.is_empty() { self.names_on(node) } else { Names::from([service.to_owned()]) }
    }

    fn names_on(&self, node: &str) -> Names {
        let services = self.nodes.get(node).map(|node| node.services.values());
        services.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_node(modified: u64, services: &[(&str, &str, u64)]) -> NodeServices {
        let services = services.iter().map(|(id, name, index)| ((*id).into(), ((*name).into(), *index)));
        NodeServices { modified, services: services.collect() }
    }

    fn check(node: &str, id: &str, service: &str, status: &str) -> CheckEntry {
        CheckEntry {
            node: node.into(),
            check_id: id.into(),
            name: id.into(),
            status: status.into(),
            service_name: service.into(),
        }
    }

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_registration_touches_its_service_alone() {
        let mut view = View::default();
        let start = on_node(1, &[("w1", "web", 5), ("a1", "api", 6)]);
        assert_eq!(view.node("n", start.clone(), true), names(&["api", "web"]));
        assert_eq!(view.node("n", start, false), names(&[]));
        assert_eq!(view.node("n", on_node(1, &[("w1", "web", 9), ("a1", "api", 6)]), false), names(&["web"]));
        assert_eq!(view.node("n", on_node(1, &[("a1", "api", 6)]), false), names(&["web"]));
    }

    #[test]
    fn a_service_that_changes_its_name_touches_both() {
        let mut view = View::default();
        view.node("n", on_node(1, &[("x", "old", 5)]), true);
        assert_eq!(view.node("n", on_node(1, &[("x", "new", 6)]), false), names(&["new", "old"]));
    }

    #[test]
    fn a_full_read_and_a_changed_node_touch_everything_on_it() {
        let mut view = View::default();
        view.node("n", on_node(1, &[("w1", "web", 5)]), true);
        assert_eq!(view.node("n", on_node(1, &[("w1", "web", 5)]), true), names(&["web"]));
        assert_eq!(view.node("n", on_node(2, &[("w1", "web", 5)]), false), names(&["web"]));
        assert_eq!(view.node("n", NodeServices::default(), true), names(&["web"]), "gone with its node");
    }

    #[test]
    fn a_node_that_goes_touches_what_stood_on_it() {
        let mut view = View::default();
        view.node("n", on_node(1, &[("w1", "web", 5)]), true);
        view.node("m", on_node(1, &[("a1", "api", 5)]), true);
        assert_eq!(view.only_nodes(&BTreeSet::from(["m".into()])), names(&["web"]));
        assert_eq!(view.only_nodes(&BTreeSet::from(["m".into()])), names(&[]));
    }

    #[test]
    fn a_status_touches_its_service_and_a_nodes_status_all_services_on_it() {
        let mut view = View::default();
        view.node("n", on_node(1, &[("w1", "web", 5), ("a1", "api", 6)]), true);
        let mut all = |serf: &str, web: &str| {
            view.checks(vec![check("n", "serfHealth", "", serf), check("n", "c1", "web", web)], false)
        };
        assert_eq!(all("passing", "passing"), names(&["api", "web"]));
        assert_eq!(all("passing", "passing"), names(&[]), "only the output changed");
        assert_eq!(all("passing", "critical"), names(&["web"]));
        assert_eq!(all("critical", "critical"), names(&["api", "web"]));
        assert_eq!(view.checks(vec![check("n", "serfHealth", "", "critical")], false), names(&["web"]));
    }
}
