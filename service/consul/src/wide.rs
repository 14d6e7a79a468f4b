//! More services than connections: a few watches show which services changed, and those are read.
//!
//! In: the services wanted in one datacenter, and how many connections there are. Out: their answers, as [`Event`]s.
//! One watch per node shows registrations within milliseconds (`/v1/catalog/node/:node`), one on all checks shows statuses
//! (`/v1/health/state/any`; alone it is not enough, a changed port does not wake it). Where even the nodes do not
//! fit, `/v1/catalog/services` takes their place: it wakes for every registration, but does not say which, so
//! that all services are read, at most once a second.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;
use weir_pools::Query;

use crate::Error;
use crate::allot::Datacenter;
use crate::client::{Client, Read, Reply};
use crate::decode::{self, CheckEntry, NodeServices};
use crate::pace::Pace;
use crate::poll::Poll;
use crate::reader::{Event, RETRY, Reader};
use crate::view::{Names, View};

/// Answers that may wait to be looked at.
const QUEUE: usize = 64;

/// What a wide watch follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The list of nodes.
    Nodes,
    /// All checks.
    Checks,
    /// The services on one node.
    Node(String),
    /// All registrations, where the nodes do not fit.
    Registrations,
    /// All checks, where the nodes do not fit.
    Statuses,
}

/// What a wide watch shows.
enum News {
    Nodes(BTreeSet<String>),
    Node(String, NodeServices, bool),
    Checks(Vec<CheckEntry>, bool),
    /// Something changed, somewhere.
    Something,
    /// It alone is held up.
    Problem(String),
}

/// Follows `wanted` until it is dropped.
pub(crate) async fn follow(
    client: Client,
    datacenter: Datacenter,
    wanted: watch::Receiver<BTreeSet<Query>>,
    share: usize,
    out: mpsc::Sender<Event>,
) {
    let (send, mut news) = mpsc::channel(QUEUE);
    let reader = Reader::new(client.clone());
    let mut wide = Wide {
        client,
        datacenter,
        wanted,
        known: BTreeSet::new(),
        share,
        send,
        reader,
        view: View::default(),
        watches: BTreeMap::new(),
    };
    wide.keep(BTreeSet::from([Source::Nodes]));
    wide.want();
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = wide.reader.next() => Some(event),
            Some(news) = news.recv() => wide.learn(news),
            Ok(()) = wide.wanted.changed() => { wide.want(); None }
            _ = retry.tick() => { wide.reader.retry(); None }
        };
        if let Some(event) = event
            && out.send(event).await.is_err()
        {
            return;
        }
    }
}

struct Wide {
    client: Client,
    datacenter: Datacenter,
    wanted: watch::Receiver<BTreeSet<Query>>,
    /// What was wanted before, and so read.
    known: BTreeSet<Query>,
    share: usize,
    send: mpsc::Sender<News>,
    reader: Reader,
    view: View,
    watches: BTreeMap<Source, AbortOnDropHandle<()>>,
}

impl Wide {
    fn all(&self) -> BTreeSet<Query> {
        self.wanted.borrow().clone()
    }

    /// Takes up a changed set of services: reads those that are new.
    fn want(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.reader.retain(&wanted);
        self.reader.mark(wanted.difference(&self.known).cloned().collect::<Vec<_>>());
        self.known = wanted;
    }

    fn learn(&mut self, news: News) -> Option<Event> {
        let touched = match news {
            News::Nodes(nodes) => self.follow_nodes(&nodes),
            News::Node(node, services, full) => self.view.node(&node, services, full),
            News::Checks(checks, full) => self.view.checks(checks, full),
            News::Something => {
                self.reader.mark(self.all());
                return None;
            }
            News::Problem(text) => return self.problem(&text),
        };
        self.touch(touched);
        None
    }

    fn touch(&mut self, names: Names) {
        let wanted = self.wanted.borrow().clone();
        let query = |name| Query::Service { name, datacenter: self.datacenter.clone() };
        let touched: Vec<Query> =
            names.into_iter().map(query).filter(|query| wanted.contains(query)).collect();
        self.reader.mark(touched);
    }

    fn follow_nodes(&mut self, nodes: &BTreeSet<String>) -> Names {
        self.keep(sources(nodes, self.share));
        self.view.only_nodes(nodes)
    }

    /// Stops watches that are not needed and starts those that are missing.
    fn keep(&mut self, sources: BTreeSet<Source>) {
        self.watches.retain(|source, _| sources.contains(source));
        for source in sources {
            if !self.watches.contains_key(&source) {
                let task = tokio::spawn(watch_source(self.poll(&source), source.clone(), self.send.clone()));
                self.watches.insert(source, AbortOnDropHandle::new(task));
            }
        }
    }

    fn poll(&self, source: &Source) -> Poll {
        let read = source.read().in_datacenter(self.datacenter.as_ref());
        Poll::paced(self.client.clone(), read, source.pace())
    }

    /// A wide watch that is held up holds up all services; it is told of the first.
    fn problem(&self, text: &str) -> Option<Event> {
        let first = self.wanted.borrow().first().cloned();
        first.map(|query| Event::Problem(query, format!("{text} (followed together with all services)")))
    }
}

/// The watches for these nodes: one each if they fit beside the two for nodes and checks. No node at all means that
/// the token may not see them.
fn sources(nodes: &BTreeSet<String>, share: usize) -> BTreeSet<Source> {
    if !nodes.is_empty() && nodes.len() + 2 <= share {
        let each = nodes.iter().cloned().map(Source::Node);
        each.chain([Source::Nodes, Source::Checks]).collect()
    } else {
        BTreeSet::from([Source::Nodes, Source::Registrations, Source::Statuses])
    }
}

impl Source {
    fn read(&self) -> Read {
        match self {
            Self::Nodes => Read::new(["catalog", "nodes"]),
            Self::Checks | Self::Statuses => Read::new(["health", "state", "any"]),
            Self::Node(node) => Read::new(["catalog", "node", node]),
            Self::Registrations => Read::new(["catalog", "services"]),
        }
    }

    /// The answer of `Checks` is long; what the last two show has every service read.
    fn pace(&self) -> Pace {
        match self {
            Self::Node(_) => Pace::new(20, 4),
            Self::Nodes | Self::Checks => Pace::new(5, 2),
            Self::Registrations | Self::Statuses => Pace::new(1, 1),
        }
    }

    fn decode(&self, reply: &Reply) -> Result<Found, Error> {
        Ok(match self {
            Self::Nodes => Found::Nodes(decode::nodes(reply)?.into_iter().collect()),
            Self::Node(_) => Found::Node(decode::node_services(reply)?),
            Self::Checks => Found::Checks(decode::checks(reply)?),
            Self::Registrations | Self::Statuses => Found::Something,
        })
    }
}

/// An answer of a source.
enum Found {
    Nodes(BTreeSet<String>),
    Node(NodeServices),
    Checks(Vec<CheckEntry>),
    Something,
}

async fn watch_source(mut poll: Poll, source: Source, send: mpsc::Sender<News>) {
    loop {
        let news = match poll.next(|reply| source.decode(reply)).await {
            Ok(news) => tell(&source, news.answer, news.full),
            Err(error) => News::Problem(error.chain()),
        };
        if send.send(news).await.is_err() {
            return;
        }
    }
}

fn tell(source: &Source, found: Found, full: bool) -> News {
    match (source, found) {
        (Source::Node(node), Found::Node(services)) => News::Node(node.clone(), services, full),
        (_, Found::Nodes(nodes)) => News::Nodes(nodes),
        (_, Found::Checks(checks)) => News::Checks(checks, full),
        (_, Found::Node(_) | Found::Something) => News::Something,
    }
}
