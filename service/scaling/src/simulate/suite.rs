//! The cases that scalers are judged on, and the judgement.
//!
//! In: traces, as text. Out: settings with names, and for the outcomes of all scalers on all of them a
//! [`Verdict`]. Which scaler runs where is the caller's affair, who can use all processors.

mod document;
mod variations;
mod verdict;

use super::setting::{Cluster, Service, Setting, Spread};
use super::shapes::shapes;
use super::trace::Trace;

pub use document::{Page, document};
pub use variations::{Variation, variations};
pub use verdict::{Total, Verdict, verdict};

/// The seed of every case.
const SEED: u64 = 20_261_127;
/// The highest rate of a recorded load, in requests a second: ten instances at their limit, so that noise and
/// size are in an ordinary relation.
const TRACE_PEAK: f64 = 1000.0;

/// A setting with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// A short name.
    pub name: String,
    /// What it is, for people.
    pub about: String,
    /// What is simulated.
    pub setting: Setting,
}

/// Requests of 0.1 s in the mean, exponentially spread.
const SERVICE: Service = Service { mean: 0.1, spread: Spread::Exponential, long: None };

/// The generated loads on the default cluster, and the measured one.
pub fn generated() -> Vec<Case> {
    let made = shapes().into_iter().map(|shape| case(shape.name, shape.about, shape.rates));
    made.chain([measured()]).collect()
}

/// A recorded load: its busiest day, with its peak at 1,000 requests a second.
pub fn recorded(name: &str, trace: Trace) -> Case {
    let day = trace.busiest_day();
    let peak = day.peak();
    let rates = day.scaled(if peak > 0.0 { TRACE_PEAK / peak } else { 1.0 }).rates();
    case(name, "its busiest day, with the peak at 1,000/s", rates)
}

fn case(name: &str, about: &str, rates: Vec<f64>) -> Case {
    let setting = setting(rates, SERVICE, Cluster::default(), SEED);
    Case { name: name.to_owned(), about: about.to_owned(), setting }
}

/// A setting that begins with enough instances for its first rate, 7 of 10 slots busy.
pub fn setting(rates: Vec<f64>, service: Service, cluster: Cluster, seed: u64) -> Setting {
    let work = rates.first().copied().unwrap_or(0.0) * service.overall();
    let initial = crate::strategy::whole(work / (f64::from(cluster.slots) * 0.7));
    let initial = initial.clamp(cluster.min, cluster.max.max(cluster.min));
    Setting { rates, service, cluster: Cluster { initial, ..cluster }, seed }
}

/// The load that Weir and the programs it replaces were measured with on a real Nomad: five times the
/// requests from one second to the next, every hundredth of 8 s.
pub fn measured() -> Case {
    let rates = (0..180).map(|second| if (30..90).contains(&second) { 300.0 } else { 60.0 }).collect();
    let service = Service { mean: 0.05, spread: Spread::Exponential, long: Some((100, 8.0)) };
    let cluster = Cluster {
        slots: 5,
        start: 3.0,
        check: 1.0,
        min_healthy: Some(2.0),
        shutdown_delay: 3.0,
        min: 2,
        max: 20,
        initial: 2,
    };
    Case {
        name: "measured".to_owned(),
        about: "60/s, five times that for a minute; every 100th request takes 8 s; 3 s to start".to_owned(),
        setting: Setting { rates, service, cluster, seed: SEED },
    }
}
