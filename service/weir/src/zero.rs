//! Which kept instances Nomad wants none of: their group's count is 0, or their job is stopped or gone.
//!
//! The guard keeps a pool's last instances when Consul lists none. Where Nomad itself says that zero is meant, the
//! pool may become empty. A Nomad that does not answer says nothing. With a job that is purged its allocations are
//! forgotten at once: whose they are is asked while they stand in the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use weir_nomad::{Client, Error};
use weir_pools::Catalogue;

use crate::pool_loop::{Event, Handle, Report};
use crate::scale_loop::{allocation, allocations};

/// How often Nomad is asked while something is kept.
const PERIOD: Duration = Duration::from_secs(2);
/// How soon after a change of the catalogue the new allocations are asked about: before a job that was just started is
/// purged, and not at each of many changes.
const SOON: Duration = Duration::from_millis(250);
/// How many allocations are asked about at once: thousands at the start are spread over a minute or two.
const ASKED: usize = 64;
/// How long after a failure one is asked about again.
const FAILED_AGAIN: Duration = Duration::from_secs(30);

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
pub(crate) async fn follow(client: Client, mut catalogue: watch::Receiver<Arc<Catalogue>>, pools: Vec<Pool>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Vec<BTreeSet<String>> = vec![BTreeSet::new(); pools.len()];
    let mut owners = Owners::default();
    // The first catalogue counts as new too.
    catalogue.mark_changed();
    loop {
        let is_tick = tokio::select! {
            _ = ticks.tick() => true,
            Ok(()) = catalogue.changed() => {
                tokio::time::sleep(SOON).await;
                catalogue.mark_changed();
                false
            }
        };
        let kept: Vec<Kept> = pools.iter().map(|pool| kept(&pool.report)).collect();
        if catalogue.has_changed().unwrap_or_default() {
            let standing = allocations(&catalogue.borrow_and_update());
            owners.stand(standing, &kept);
        }
        owners.learn(&client).await;
        if !is_tick {
            continue;
        }
        for ((pool, told), kept) in pools.iter().zip(&mut told).zip(&kept) {
            let zero = zero(&client, &owners, kept).await;
            if zero != *told {
                told.clone_from(&zero);
                let _ = pool.events.send(Event::Zero(zero)).await;
            }
        }
    }
}

/// The group that an allocation belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    namespace: String,
    job: String,
    name: String,
}

/// Whose an allocation is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Known(Group),
    /// To be asked, not before this.
    Unknown(Option<Instant>),
}

/// Whose the allocations are that stand in the catalogue or are kept.
#[derive(Debug, Default)]
struct Owners(BTreeMap<String, Owner>);

impl Owners {
    /// Takes note of the allocations that stand in the catalogue, and forgets those that are gone and not kept.
    fn stand(&mut self, standing: BTreeSet<String>, kept: &[Kept]) {
        let kept: BTreeSet<&str> =
            kept.iter().flatten().flat_map(|(_, ids)| ids).filter_map(|id| allocation(id)).collect();
        self.0.retain(|id, _| standing.contains(id) || kept.contains(id.as_str()));
        for id in standing {
            self.0.entry(id).or_insert(Owner::Unknown(None));
        }
    }

    /// The allocations to ask about now.
    fn due(&self, now: Instant) -> Vec<String> {
        let due = |owner: &Owner| matches!(owner, Owner::Unknown(again) if again.is_none_or(|at| at <= now));
        self.0.iter().filter(|(_, owner)| due(owner)).map(|(id, _)| id.clone()).take(ASKED).collect()
    }

    /// Asks about some that are not known yet; the rest waits where Nomad does not answer.
    async fn learn(&mut self, client: &Client) {
        for id in self.due(Instant::now()) {
            let asked = client.allocation(&id).await;
            let away = matches!(&asked, Err(error) if !matches!(error, Error::NotFound { .. }));
            self.0.insert(id, owner(asked, Instant::now()));
            if away {
                break;
            }
        }
    }

    fn group(&self, id: &str) -> Option<&Group> {
        match self.0.get(id)? {
            Owner::Known(group) => Some(group),
            Owner::Unknown(_) => None,
        }
    }
}

fn owner(asked: Result<weir_nomad::Allocation, Error>, now: Instant) -> Owner {
    match asked {
        Ok(allocation) => Owner::Known(group(allocation)),
        Err(_) => Owner::Unknown(Some(now + FAILED_AGAIN)),
    }
}

fn group(allocation: weir_nomad::Allocation) -> Group {
    Group { namespace: allocation.namespace, job: allocation.job, name: allocation.group }
}

/// What one pool loop keeps: Consul's IDs, by backend.
type Kept = Vec<(String, Vec<String>)>;

fn kept(report: &watch::Receiver<Report>) -> Kept {
    let report = report.borrow();
    let kept = report.kept.iter().filter(|(_, ids)| !ids.is_empty());
    kept.map(|(backend, ids)| (backend.clone(), ids.clone())).collect()
}

async fn zero(client: &Client, owners: &Owners, kept: &Kept) -> BTreeSet<String> {
    let mut zero = BTreeSet::new();
    for (backend, ids) in kept {
        let mut all = true;
        for id in ids {
            all = all && unwanted(client, owners, id).await;
        }
        if all {
            zero.insert(backend.clone());
        }
    }
    zero
}

/// Whether Nomad is known to want no instance of the group that this one belongs to.
async fn unwanted(client: &Client, owners: &Owners, instance_id: &str) -> bool {
    let Some(id) = allocation(instance_id) else { return false };
    let group = match owners.group(id) {
        Some(known) => known.clone(),
        None => match client.allocation(id).await {
            Ok(allocation) => group(allocation),
            Err(_) => return false,
        },
    };
    match client.job(&group.namespace, &group.job).await {
        Ok(job) => job.stop || job.groups.get(&group.name).is_none_or(|count| *count == 0),
        Err(Error::NotFound { .. }) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    const A: &str = "00000000-0000-0000-0000-00000000000a";
    const B: &str = "00000000-0000-0000-0000-00000000000b";

    #[test]
    fn an_allocation_is_known_as_long_as_it_stands_or_is_kept() {
        let mut owners = Owners::default();
        owners.stand(ids(&[A, B]), &[]);
        let now = Instant::now();
        assert_eq!(owners.due(now), [A, B]);
        let group = Group { namespace: "default".into(), job: "web".into(), name: "app".into() };
        owners.0.insert(A.into(), Owner::Known(group.clone()));
        owners.0.insert(B.into(), Owner::Unknown(Some(now + FAILED_AGAIN)));
        assert!(owners.due(now).is_empty(), "a failure is asked again at once");
        assert_eq!(owners.due(now + FAILED_AGAIN), [B]);

        let kept = vec![("web".to_owned(), vec![format!("_nomad-task-{A}-group-app-web-http")])];
        owners.stand(BTreeSet::new(), &[kept]);
        assert_eq!((owners.group(A), owners.group(B)), (Some(&group), None));
        owners.stand(BTreeSet::new(), &[]);
        assert!(owners.0.is_empty());
    }
}
