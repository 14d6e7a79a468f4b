//! To zero and back: whether what a group's instances get would be held without them, and the wishes that see to it.
//!
//! In: what every load balancer says of the requests that it holds, what is wished. Out: for a decision how many wait, or
//! why nobody would hold them; for a drain to zero how far that is; and intents, which outlive every process. They are
//! wished from the beginning of the drain until instances serve again. Nothing here fails.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use weir_nomad::policies::Reach;
use weir_pools::intents::Wish;
use weir_pools::plan::{WAKE, WakeState};

use super::drain::Server;
use super::draining::{Noting, owner};
use super::policy::Tracked;
use super::{Effect, ScaleLoop};
use crate::wake::Holder;

/// How long after a wish was written it is looked for again: Consul tells of it a little later.
const NOTED: Duration = Duration::from_secs(2);
/// How long after a load balancer could not hold a group's requests it is tried again.
pub(super) const UNHELD: Duration = Duration::from_mins(10);

/// How far the load balancers are with holding a group's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holding {
    /// All that have one of its pools do.
    InForce,
    /// This one does not yet.
    Coming(String),
    /// This cannot; and why.
    Unfit(String),
}

/// Why the last instance stays while it is not known who would hold requests.
const NOBODY: &str = "no HAProxy was read yet, so nobody would hold the first requests while there is none";

impl ScaleLoop {
    /// Takes in what all load balancers hold.
    pub(crate) fn note_holders(&mut self, holders: Vec<Holder>) {
        self.holders = holders;
    }

    /// How many wait for an instance of the group, or why nobody would hold them.
    pub(super) fn held(&self, now: Instant, tracked: &Tracked, count: u64) -> Result<u64, String> {
        let standing = self.held_pools(tracked);
        if count > 0 {
            self.may_be_held(now, tracked)?;
        } else if standing.is_empty() {
            return Err("nobody holds requests for it".to_owned());
        }
        let said = self.holders.iter().filter_map(|holder| holder.holds.as_ref());
        let ours = said.flat_map(|holds| holds.iter().filter(|(backend, _)| standing.contains(*backend)));
        Ok(ours.map(|(_, said)| said.waiting).sum())
    }

    /// Whether nothing is known against it. Each pool is tried in the drain.
    fn may_be_held(&self, now: Instant, tracked: &Tracked) -> Result<(), String> {
        if tracked.good.as_ref().is_none_or(|policy| policy.scale_to_zero.is_none()) {
            return Err("`scale_to_zero` is not set".to_owned());
        }
        if let Some((why, _)) = tracked.unheld.as_ref().filter(|(_, until)| *until > now) {
            return Err(why.clone());
        }
        if let Some(holder) = self.holders.iter().find(|holder| holder.holds.is_none()) {
            let name = &holder.name;
            return Err(format!(
                "{name} would not hold the first requests: its weir.hcl has no block `wake`"
            ));
        }
        let at = self.addresses_of(&tracked.raw);
        let servers = self.servers.as_ref().filter(|_| !self.holders.is_empty()).ok_or(NOBODY)?;
        let shared = servers.names(&at).into_iter().find(|server| servers.is_shared(&server.backend, &at));
        match shared {
            Some(Server { backend, .. }) => {
                Err(format!("pool {backend} has servers of others too, which would get what the group gets"))
            }
            None => Ok(()),
        }
    }

    /// The pools whose requests are wished to be held for the group.
    pub(super) fn held_pools(&self, tracked: &Tracked) -> BTreeSet<String> {
        let owner = owner(&tracked.raw);
        let ours = self.intents.iter().filter(|(_, server, intent)| {
            *server == WAKE && intent.wish == Wish::Wake && intent.owner == owner
        });
        ours.map(|(backend, ..)| backend.to_owned()).collect()
    }

    /// How far all load balancers are with holding what these pools get.
    pub(super) fn holding(&self, tracked: &Tracked, pools: &BTreeSet<String>) -> Holding {
        let wished = self.held_pools(tracked);
        if let Some(pool) = pools.iter().find(|pool| !wished.contains(*pool)) {
            return Holding::Coming(format!(
                "it is not noted in Consul yet that requests of {pool} are held"
            ));
        }
        let all = || self.holders.iter().flat_map(|holder| pools.iter().map(move |pool| (holder, pool)));
        let all: Vec<Holding> = all().map(|(holder, pool)| one_holding(holder, pool)).collect();
        let unfit = all.iter().find(|one| matches!(one, Holding::Unfit(_)));
        let coming = || all.iter().find(|one| matches!(one, Holding::Coming(_)));
        unfit.or_else(coming).cloned().unwrap_or(Holding::InForce)
    }

    /// The pools whose requests have to be held now: from a drain to zero until every load balancer has an instance that
    /// serves. Whatever becomes of the policy meanwhile: without the wish nothing would bring the group back.
    fn pools_to_hold(&self, tracked: &Tracked) -> BTreeSet<String> {
        let standing = self.held_pools(tracked);
        let Some(look) = self.job_of(&tracked.raw).and_then(|job| job.look.as_ref()) else {
            return BTreeSet::new();
        };
        let count = look.job.groups.get(&tracked.raw.group).copied();
        if look.job.stop || count.is_none() {
            return BTreeSet::new();
        }
        if let Some(drain) = tracked.drain.as_ref().filter(|drain| drain.target == 0) {
            return drain.servers().into_iter().map(|server| server.backend).chain(standing).collect();
        }
        let is_served = |pool: &String| self.servers.as_ref().is_some_and(|servers| servers.serves(pool));
        standing.into_iter().filter(|pool| count == Some(0) || !is_served(pool)).collect()
    }

    /// What is wished so of servers, for the group's sake: it is no orphan.
    pub(super) fn wakes_needed(&self, tracked: &Tracked) -> impl Iterator<Item = Server> + use<> {
        let pools = self.pools_to_hold(tracked).into_iter();
        pools.map(|backend| Server { backend, name: WAKE.to_owned() })
    }

    /// Wishes what is needed and does not stand. What is needed no longer is taken back with the orphans.
    pub(super) fn wish_to_hold(&mut self, now: Instant) {
        if !self.leads(now) || self.reach != Reach::Ok {
            return;
        }
        for id in self.policies.keys().cloned().collect::<Vec<_>>() {
            let Some(tracked) = self.policies.get(&id) else { continue };
            let standing = self.held_pools(tracked);
            let missing = self.wakes_needed(tracked).filter(|server| !standing.contains(&server.backend));
            let missing: BTreeSet<Server> = missing.collect();
            let is_noted = tracked.wished.is_some_and(|at| at + NOTED > now);
            if !missing.is_empty() && !is_noted {
                self.note_wakes(now, &id, missing);
            }
        }
    }

    fn note_wakes(&mut self, now: Instant, id: &str, servers: BTreeSet<Server>) {
        let Some(tracked) = self.policies.get_mut(id) else { return };
        tracked.wished = Some(now);
        let raw = &tracked.raw;
        self.effects.push(Effect::Note(Noting {
            policy: id.to_owned(),
            owner: owner(raw),
            wish: Wish::Wake,
            servers,
            reason: format!("{}/{} goes to zero", raw.job, raw.group),
            lasting: None,
        }));
    }
}

/// How far one load balancer is with one pool.
fn one_holding(holder: &Holder, pool: &str) -> Holding {
    let name = &holder.name;
    let said = holder.holds.as_ref().map(|holds| holds.get(pool));
    match said {
        None => Holding::Unfit(format!("{name} would not hold the first requests: no block `wake`")),
        Some(None) => Holding::Coming(format!("{name} does not hold requests of pool {pool} yet")),
        Some(Some(said)) => match &said.state {
            WakeState::InForce | WakeState::Absent => Holding::InForce,
            WakeState::Coming => Holding::Coming(format!("{name} does not hold requests of pool {pool} yet")),
            WakeState::Unfit(why) => {
                Holding::Unfit(format!("{name} cannot hold requests of pool {pool}: {why}"))
            }
        },
    }
}
