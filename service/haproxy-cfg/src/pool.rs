//! A `backend` or `listen` section as a pool of servers.

use crate::document::Document;
use crate::section::Section;
use crate::server::{Server, ServerTemplate};

/// A pool: what a `backend` or a `listen` section says about servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool<'d> {
    /// The section it stands in.
    pub section: &'d Section,
    /// The section's name; empty where it has none, which HAProxy refuses.
    pub name: &'d str,
    /// The algorithm of the last `balance` line; `None` where the section leaves it to `defaults`.
    pub balance: Option<&'d str>,
    /// The `server` lines, in order. Those in `.if` blocks are all there, whatever the condition.
    pub servers: Vec<Server<'d>>,
    /// The `server-template` lines, in order.
    pub templates: Vec<ServerTemplate<'d>>,
}

impl<'d> Pool<'d> {
    /// The pool in one of the document's sections.
    pub(crate) fn read(document: &'d Document, section: &'d Section) -> Self {
        let body = document.body(section);
        let balance = body.iter().rev().find(|line| line.keyword() == Some("balance"));
        Self {
            section,
            name: section.name.as_deref().unwrap_or_default(),
            balance: balance.and_then(|line| line.word(1)),
            servers: body.iter().filter_map(Server::read).collect(),
            templates: body.iter().filter_map(ServerTemplate::read).collect(),
        }
    }

    /// The server of that name.
    pub fn server(&self, name: &str) -> Option<&Server<'d>> {
        self.servers.iter().find(|server| server.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_servers_and_an_algorithm() {
        let text = "frontend f\n bind :80\nbackend web\n balance roundrobin\n balance leastconn # last one counts\n\
                    \tserver a 10.0.0.1:80 weight 3 check\n server \"b\" [::1]:81\n server broken\n\
                    server-template t 2-4 web.example:80 resolvers r\npeers p\n server me :1024\n";
        let document = Document::parse(text);
        let pools: Vec<_> = document.pools().collect();
        assert_eq!(pools.len(), 1);
        let web = &pools[0];
        assert_eq!((web.name, web.balance), ("web", Some("leastconn")));
        assert_eq!(web.servers.iter().map(|s| (s.name, s.line)).collect::<Vec<_>>(), [("a", 6), ("b", 7)]);
        assert_eq!(web.server("a").unwrap().option("weight"), Some("3"));
        assert_eq!(web.server("b").unwrap().written, "[::1]:81");
        let template = &web.templates[0];
        assert_eq!((template.numbers(), template.line), (Some(2..=4), 9));
        assert!(template.declares("t2") && !template.declares("t1") && !template.declares("tx"));
    }
}
