//! The other load balancers of the cluster: each weir tells what its HAProxys do, and asks the others for
//! theirs.
//!
//! In: what is read of the own HAProxys, the block `peer`, and Consul's catalogue. Out: one [`Reading`] of
//! all of them, for the scaler. Whoever leads, each weir asks, so that a new leader has a warm history.
//! Without the block this is the only load balancer.
//!
//! | module | its idea |
//! |---|---|
//! | `answer` | what one weir says |
//! | `listener`, `secret`, `tls` | to whom it says so |
//! | `roll` | who is there, by Consul |
//! | `asking` | what the others say |
//! | `join` | all of it as one reading |

mod answer;
mod asking;
mod join;
mod listener;
mod roll;
mod secret;
mod tls;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use weir_consul::Presence;
use weir_pools::Catalogue;
use weir_scaling::Reading;

pub(crate) use answer::Own;
use asking::{Asker, Peer, Peers};
use join::{Joiner, Seen, View};
use listener::Telling;
use roll::Entry;
pub(crate) use roll::query;

use crate::config;
use crate::parts::Parts;
use crate::state_file;
use crate::status::PeerStatus;
use crate::wake::Holder;

/// How long a weir that was killed is waited for at least; Consul takes twice as long. Its HAProxy may well go on, with
/// load that nobody else sees: what starts it again has more than two minutes before that counts for nothing.
const TTL: Duration = Duration::from_secs(75);
/// Below what a round of asking may take.
const CONNECT: Duration = Duration::from_millis(700);

/// The part of the daemon that knows the others; nothing where this is the only load balancer.
pub(crate) type Others = Option<watch::Receiver<Peers>>;

/// What the peers part needs from the rest.
pub(crate) struct Ground<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) consul: weir_consul::Client,
    pub(crate) catalogue: watch::Receiver<Arc<Catalogue>>,
    pub(crate) own: Own,
    pub(crate) state_dir: &'a Path,
    pub(crate) parts: &'a Parts,
}

/// Begins to tell and to ask.
pub(crate) async fn start(peer: &config::Peer, ground: Ground<'_>) -> anyhow::Result<watch::Receiver<Peers>> {
    let listener = TcpListener::bind(peer.address).await.with_context(|| {
        format!(
            "{}: cannot listen here for peers; is another weir running? Set `peer {{ address }}`",
            peer.address
        )
    })?;
    let own = entry(peer, listener.local_addr()?, place(ground.state_dir));
    let (cluster, cancel) = (ground.cluster.to_owned(), &ground.parts.cancel);
    let asker = Asker {
        client: client(peer).context("block `peer`")?,
        scheme: if peer.tls.is_some() { "https" } else { "http" },
        token: peer.token.clone(),
        cluster: cluster.clone(),
        own: own.clone(),
    };
    let telling = Telling {
        cluster: cluster.clone(),
        node: own.node.clone(),
        token: peer.token.clone(),
        own: ground.own.clone(),
    };
    match &peer.tls {
        None => ground.parts.spawn(LISTENER, listener::serve(listener, telling, cancel.clone())),
        Some(tls) => {
            let secured = tls::Secured::new(listener, tls::server(tls).context("block `ssl` of `peer`")?)?;
            ground.parts.spawn(LISTENER, listener::serve(secured, telling, cancel.clone()));
        }
    }
    let value = serde_json::to_string(&own).context("what others shall know")?;
    let presence = Presence { folder: roll::folder(&cluster), value, ttl: TTL };
    let present = weir_consul::be_present(ground.consul, presence, cancel.clone());
    ground.parts.spawn("the registration in Consul", present);
    let (sender, peers) = watch::channel(asking::nobody_yet());
    let asking = asking::run(asker, ground.own, ground.catalogue, sender, cancel.clone());
    ground.parts.spawn("the asking of peers", asking);
    Ok(peers)
}

const LISTENER: &str = "the listener for peers";

fn entry(peer: &config::Peer, bound: SocketAddr, place: String) -> Entry {
    // Port 0 in the configuration: the one that was given.
    let given = peer.address.port() == 0 && peer.advertise == peer.address.to_string();
    let address = if given { bound.to_string() } else { peer.advertise.clone() };
    let node = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    Entry { node: node.unwrap_or_else(|_| address.clone()), address, place }
}

/// A name for the state directory, which only one weir uses at a time: what this weir left in Consul when it ended
/// badly is its own.
fn place(state_dir: &Path) -> String {
    let file = state_dir.join("peer.json");
    state_file::read(&file).unwrap_or_else(|| {
        let place = format!("{:016x}", fastrand::u64(..));
        if let Err(error) = state_file::write(&file, &place) {
            tracing::warn!("{}: cannot be written: {error}", file.display());
        }
        place
    })
}

fn client(peer: &config::Peer) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        // A proxy from the environment is for the world outside.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    let builder = match &peer.tls {
        None => builder,
        Some(tls) => tls::client(builder, tls)?,
    };
    Ok(builder.build()?)
}

/// All load balancers of the cluster, as one reading after the other.
#[derive(Debug)]
pub(crate) struct Balancers {
    own: Own,
    others: Others,
    joiner: Joiner,
}

impl Balancers {
    pub(crate) fn new(own: Own, others: Others) -> Self {
        Self { own, others, joiner: Joiner::default() }
    }

    /// Waits for the next look at the first of the own HAProxys, and for what the others answer then: that paces all.
    pub(crate) async fn looked(&mut self) {
        let Some(others) = &mut self.others else { return self.own.looked().await };
        if others.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What all of them show now.
    pub(crate) fn read(&mut self, now: SystemTime) -> Reading {
        self.joiner.join(now, &self.views())
    }

    /// What all that run hold of requests now.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        join::holders(&self.views())
    }

    fn views(&self) -> Vec<View> {
        let seen = Seen { ago: Duration::ZERO, haproxies: self.own.balancers() };
        let mut views = vec![View { name: String::new(), id: 0, seen: Ok(seen) }];
        match self.others.as_ref().map(|others| others.borrow()) {
            None => {}
            Some(peers) => match &*peers {
                Ok(peers) => views.extend(peers.iter().map(view)),
                Err(why) => views.push(View { name: "peers".into(), id: u64::MAX, seen: Err(why.clone()) }),
            },
        }
        views
    }

    /// When connections last went from one load balancer to another.
    pub(crate) fn role_changed(&self) -> Option<SystemTime> {
        self.joiner.role_changed()
    }
}

fn view(peer: &Peer) -> View {
    let seen = match (&peer.said, &peer.error) {
        (Some((at, said)), error) => {
            let ago = at.elapsed();
            match error {
                Some(error) if ago > join::FRESH => {
                    Err(format!("its weir has not answered for {} s: {error}", ago.as_secs()))
                }
                _ => Ok(Seen { ago, haproxies: said.haproxies.clone() }),
            }
        }
        (None, Some(error)) => Err(error.clone()),
        (None, None) => Err("it was not asked yet".to_owned()),
    };
    View { name: called(&peer.entry), id: id(&peer.entry.address), seen }
}

fn called(entry: &Entry) -> String {
    format!("{} ({})", entry.node, entry.address)
}

/// A number for a node, never that of the own one. It only has to stay the same while this process runs.
fn id(address: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    hasher.finish() | 1
}

/// The others, as the status shows them.
pub(crate) fn status(others: &Others) -> Vec<PeerStatus> {
    let Some(others) = others else { return Vec::new() };
    match &*others.borrow() {
        Err(why) => {
            vec![PeerStatus { name: "peers".into(), answers: false, age_ms: None, error: Some(why.clone()) }]
        }
        Ok(peers) => peers.iter().map(one_status).collect(),
    }
}

fn one_status(peer: &Peer) -> PeerStatus {
    let age = peer.said.as_ref().map(|(at, _)| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
    PeerStatus {
        name: called(&peer.entry),
        answers: peer.error.is_none() && age.is_some(),
        age_ms: age,
        error: peer.error.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::UNIX_EPOCH;

    use weir_scaling::{BackendSample, Process, Sample, ServerSample, ServerState};

    /// A process with one backend of one server, 10.0.0.1:80 with `maxconn 10`.
    pub(crate) fn sample(pid: u32, sessions: u64, requests: u64) -> Sample {
        let server = ServerSample {
            name: "s1".into(),
            address: "10.0.0.1:80".parse().ok(),
            state: ServerState::Up,
            sessions,
            maxconn: Some(10),
            total: requests,
            ..ServerSample::default()
        };
        let backend = BackendSample {
            name: "web".into(),
            sessions,
            requests,
            servers: vec![server],
            ..BackendSample::default()
        };
        let process = Process { node: 0, pid, started: 5 };
        Sample { at: UNIX_EPOCH, process, leaving: false, backends: vec![backend] }
    }

    #[test]
    fn a_weir_is_known_by_its_state_directory_after_a_restart() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, again, other] = [&dirs[0], &dirs[0], &dirs[1]].map(|dir| super::place(dir.path()));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn another_node_never_has_the_number_of_the_own_one() {
        assert!(["", "a:1", "10.0.0.1:8718"].iter().all(|address| super::id(address) != 0));
        assert_ne!(super::id("10.0.0.1:8718"), super::id("10.0.0.2:8718"));
    }
}
