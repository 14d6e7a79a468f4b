//! The cluster: both servers and the instances, started and stopped together.
//!
//! Inputs: [`Options`], jobs. Outputs: the servers' addresses, views of instances and of the Nomad log. Starting fails where an
//! address cannot be bound. When the last handle goes, or on [`Cluster::shutdown`], everything ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::consul::{self, ConsulStore, NodeDef};
use crate::fault::{Faults, Switches};
use crate::instance::InstanceView;
use crate::nomad::{self, Client, Job, NomadWrite, Now, WriteLog};
use crate::spec::JobSpec;
use crate::store::Store;
use crate::wire::{GatedListener, Peer, Wire};

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Consul's API listens; port 0: a free one.
    pub consul: SocketAddr,
    /// Where Nomad's API listens; port 0: a free one.
    pub nomad: SocketAddr,
    /// The name of the one node.
    pub node: String,
    /// Its datacenter.
    pub datacenter: String,
    /// From a change of a job until Nomad has evaluated it: only then do allocations and the deployment that blocks scaling exist
    /// (some ms on a real server).
    pub evaluation_delay: Duration,
    /// How soon a service that Consul has lost is registered again (Nomad's own period: 30 s).
    pub reregister: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            consul: free,
            nomad: free,
            node: "devcluster".to_owned(),
            datacenter: "dc1".to_owned(),
            evaluation_delay: Duration::from_millis(5),
            reregister: Duration::from_secs(30),
        }
    }
}

/// Nomad did not take the job; its own text says why.
#[derive(Debug, thiserror::Error)]
#[error("Nomad refuses the job with status {status}: {text}")]
pub struct JobRefused {
    /// The status code the API gives.
    pub status: u16,
    /// Nomad's text.
    pub text: String,
}

/// A Consul, a Nomad and their instances, in this process.
pub struct Cluster {
    consul_addr: SocketAddr,
    nomad_addr: SocketAddr,
    faults: Faults,
    nomad: nomad::Api,
    client: Arc<Client>,
    tasks: TaskTracker,
    wires: [Arc<Wire>; 2],
    stop: DropGuard,
}

impl Cluster {
    /// Binds both addresses and starts.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let consul_socket = TcpListener::bind(options.consul).await?;
        let nomad_socket = TcpListener::bind(options.nomad).await?;
        let (consul_addr, nomad_addr) = (consul_socket.local_addr()?, nomad_socket.local_addr()?);
        let switches = Arc::new(Switches::default());
        let wires = [Arc::clone(&switches.consul_wire), Arc::clone(&switches.nomad_wire)];

        let consul = Arc::new(ConsulStore::new(&agent_node(&options), tasks.clone(), stop.clone()));
        let api = nomad::Api {
            store: Arc::new(Store::new(nomad::State::new(options.evaluation_delay))),
            faults: Arc::clone(&switches),
            log: Arc::new(WriteLog::default()),
        };
        let client = Arc::new(Client::new(
            Arc::clone(&api.store),
            Arc::clone(&consul),
            Arc::clone(&switches),
            (tasks.clone(), stop.clone()),
            options.reregister,
        ));
        let consul_routes = consul::router(Arc::clone(&consul), Arc::clone(&switches), &options.datacenter);
        let spawn = |router, socket, wire: &Arc<Wire>| {
            let served = serve(router, GatedListener::new(socket, Arc::clone(wire)));
            tasks.spawn(stop.clone().run_until_cancelled_owned(served));
        };
        spawn(consul_routes, consul_socket, &wires[0]);
        spawn(nomad::router(api.clone()), nomad_socket, &wires[1]);
        tasks.spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&consul).run_expiry()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&client).run()));
        let (faults, stop) = (Faults::new(switches, consul), stop.drop_guard());
        Ok(Self { consul_addr, nomad_addr, faults, nomad: api, client, tasks, wires, stop })
    }

    /// Where Consul's API is.
    pub fn consul_addr(&self) -> SocketAddr {
        self.consul_addr
    }

    /// Where Nomad's API is.
    pub fn nomad_addr(&self) -> SocketAddr {
        self.nomad_addr
    }

    /// Registers a job, as `PUT /v1/jobs` would; its instances start in the background.
    pub fn run_job(&self, spec: &JobSpec) -> Result<(), JobRefused> {
        self.run_job_json(&spec.to_json())
    }

    /// Registers a job from its Nomad document.
    pub fn run_job_json(&self, document: &Value) -> Result<(), JobRefused> {
        let job = Job::read(document).map_err(|text| JobRefused { status: 400, text })?;
        let outcome = self.nomad.store.write(|state| state.register(job, None, false, Now::get()));
        outcome.map(|_| ()).map_err(|refusal| JobRefused { status: refusal.status, text: refusal.text })
    }

    /// Faults on demand.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every write to the Nomad API so far, refused ones included, oldest first.
    pub fn nomad_log(&self) -> Vec<NomadWrite> {
        self.nomad.log.all()
    }

    /// All instances there ever were, ended ones included.
    pub fn instances(&self) -> Vec<InstanceView> {
        self.client.instances()
    }

    /// Kills the instance of an allocation, as a crash would: requests are cut, its service leaves Consul within
    /// milliseconds, Nomad places another. False when there is no such instance.
    pub fn kill_instance(&self, alloc: &str) -> bool {
        self.client.kill(alloc)
    }

    /// Ends everything and waits for it.
    pub async fn shutdown(self) {
        drop(self.stop);
        for wire in &self.wires {
            wire.refuse(true);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn serve(router: Router, listener: GatedListener) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!("a server of the development cluster ended: {error}");
    }
}

fn agent_node(options: &Options) -> NodeDef {
    NodeDef {
        id: crate::id::uuid(),
        name: options.node.clone(),
        address: "127.0.0.1".to_owned(),
        datacenter: options.datacenter.clone(),
        ..NodeDef::default()
    }
}
