//! The made loads on other instances: what holds for one kind of service only is no rule.

use super::{Case, SEED, SERVICE, setting};
use crate::simulate::setting::{Cluster, Service};
use crate::simulate::shapes::shapes;

/// All made loads, with something changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// What is changed, for people.
    pub about: &'static str,
    /// The loads.
    pub cases: Vec<Case>,
}

/// Each changes one thing.
pub fn variations() -> Vec<Variation> {
    let plain = Cluster::default();
    let slow = Service { mean: 1.0, ..SERVICE };
    vec![
        variation("other arrivals", 1.0, SERVICE, plain, SEED + 1),
        variation("5 s to start", 1.0, SERVICE, Cluster { start: 5.0, ..plain }, SEED),
        variation("60 s to start", 1.0, SERVICE, Cluster { start: 60.0, ..plain }, SEED),
        variation("Nomad never refuses", 1.0, SERVICE, Cluster { min_healthy: None, ..plain }, SEED),
        variation("requests of 1 s, a tenth of them", 0.1, slow, plain, SEED),
        variation(
            "one slot per instance, 3 of 10 requests",
            0.3,
            SERVICE,
            Cluster { slots: 1, ..plain },
            SEED,
        ),
        variation("five times the requests", 5.0, SERVICE, plain, SEED),
        variation("a tenth of the requests", 0.1, SERVICE, plain, SEED),
    ]
}

/// `load` times the requests.
fn variation(about: &'static str, load: f64, service: Service, cluster: Cluster, seed: u64) -> Variation {
    let case = |shape: crate::simulate::Shape| {
        let rates = shape.rates.iter().map(|rate| rate * load).collect();
        let setting = setting(rates, service, cluster, seed);
        Case { name: shape.name.to_owned(), about: shape.about.to_owned(), setting }
    };
    Variation { about, cases: shapes().into_iter().map(case).collect() }
}
