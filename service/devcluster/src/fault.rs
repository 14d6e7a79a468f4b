//! Faults that a test or the demo switches on and off while the cluster runs.
//!
//! Inputs: method calls, from any thread. Outputs: what the two servers do from then on. Everything is
//! off at the start.

use std::sync::Arc;

use tokio::sync::watch;

use crate::consul::ConsulStore;
use crate::wire::Wire;

/// Something that is on or off and can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Switch(watch::Sender<bool>);

impl Switch {
    fn set(&self, on: bool) {
        self.0.send_replace(on);
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits while the switch is on. Without end if nobody turns it off: that is the fault.
    pub(crate) async fn until_off(&self) {
        let _ = self.0.subscribe().wait_for(|on| !on).await;
    }
}

/// The state of every fault, as the servers read it.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    pub(crate) consul_wire: Arc<Wire>,
    pub(crate) nomad_wire: Arc<Wire>,
    pub(crate) consul_hang: Switch,
    pub(crate) consul_no_leader: Switch,
    pub(crate) consul_acl: Switch,
    pub(crate) consul_429: Switch,
    pub(crate) nomad_hang: Switch,
    pub(crate) placement_limit: watch::Sender<Option<usize>>,
}

/// Faults on demand. Each method takes effect at once.
#[derive(Clone)]
pub struct Faults {
    switches: Arc<Switches>,
    consul: Arc<ConsulStore>,
}

impl Faults {
    pub(crate) fn new(switches: Arc<Switches>, consul: Arc<ConsulStore>) -> Self {
        Self { switches, consul }
    }

    /// Consul is not there: open connections are cut, new ones closed at accept.
    pub fn consul_refuse(&self, on: bool) {
        self.switches.consul_wire.refuse(on);
    }

    /// Consul accepts and reads, but does not answer until this is off again.
    pub fn consul_hang(&self, on: bool) {
        self.switches.consul_hang.set(on);
    }

    /// Consul has no leader: stale reads say so, everything else is 500 `No cluster leader`.
    pub fn consul_no_leader(&self, on: bool) {
        self.switches.consul_no_leader.set(on);
    }

    /// The token lost its permission: reads of nodes and services answer empty lists with 200, as Consul's do.
    pub fn consul_acl(&self, on: bool) {
        self.switches.consul_acl.set(on);
    }

    /// Every request is answered 429, as over `http_max_conns_per_client`.
    pub fn consul_429(&self, on: bool) {
        self.switches.consul_429.set(on);
    }

    /// Consul was restarted with an empty state: its index starts low, its connections are cut.
    /// The cluster's own services come back after [`crate::Options::reregister`].
    pub fn consul_wipe(&self) {
        self.consul.wipe();
        self.switches.consul_wire.cut();
    }

    /// Nomad is not there.
    pub fn nomad_down(&self, on: bool) {
        self.switches.nomad_wire.refuse(on);
    }

    /// Nomad accepts and reads, but does not answer until this is off again. Writes are not carried out before.
    pub fn nomad_hang(&self, on: bool) {
        self.switches.nomad_hang.set(on);
    }

    /// No more than this many allocations fit; what a job asks for beyond waits for room.
    pub fn placement_limit(&self, limit: Option<usize>) {
        self.switches.placement_limit.send_replace(limit);
    }
}
