//! Which kept instances Nomad wants none of: their group's count is 0, or their job is stopped or gone.
//!
//! The guard keeps a pool's last instances when Consul lists none. Where Nomad itself says that zero is meant, the
//! pool may become empty. A Nomad that does not answer says nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weir_nomad::{Client, Error};

use crate::pool_loop::{Event, Handle, Report};
use crate::scale_loop::allocation;

/// How often Nomad is asked while something is kept.
const PERIOD: Duration = Duration::from_secs(2);

/// One pool loop: where its kept instances are seen, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Pool {
    report: watch::Receiver<Report>,
    events: mpsc::Sender<Event>,
}

pub(crate) fn pools(handles: &[Handle]) -> Vec<Pool> {
    handles
        .iter()
        .map(|handle| Pool { report: handle.report.clone(), events: handle.events.clone() })
        .collect()
}

/// Asks Nomad about whatever is kept, for ever.
pub(crate) async fn follow(client: Client, pools: Vec<Pool>) {
    let mut ticks = tokio::time::interval(PERIOD);
    let mut told: Vec<BTreeSet<String>> = vec![BTreeSet::new(); pools.len()];
    loop {
        ticks.tick().await;
        for (pool, told) in pools.iter().zip(&mut told) {
            let zero = zero(&client, &kept(&pool.report)).await;
            if zero != *told {
                told.clone_from(&zero);
                let _ = pool.events.send(Event::Zero(zero)).await;
            }
        }
    }
}

/// The kept instances by backend, as Consul's IDs.
fn kept(report: &watch::Receiver<Report>) -> Vec<(String, Vec<String>)> {
    let report = report.borrow();
    let kept = report.kept.iter().filter(|(_, ids)| !ids.is_empty());
    kept.map(|(backend, ids)| (backend.clone(), ids.clone())).collect()
}

async fn zero(client: &Client, kept: &[(String, Vec<String>)]) -> BTreeSet<String> {
    let mut zero = BTreeSet::new();
    for (backend, ids) in kept {
        let mut all = true;
        for id in ids {
            all = all && unwanted(client, id).await;
        }
        if all {
            zero.insert(backend.clone());
        }
    }
    zero
}

/// Whether Nomad is known to want no instance of the group that this one belongs to.
async fn unwanted(client: &Client, instance_id: &str) -> bool {
    let Some(id) = allocation(instance_id) else { return false };
    let Ok(allocation) = client.allocation(id).await else { return false };
    match client.job(&allocation.namespace, &allocation.job).await {
        Ok(job) => job.stop || job.groups.get(&allocation.group).is_none_or(|count| *count == 0),
        Err(Error::NotFound { .. }) => true,
        Err(_) => false,
    }
}
