//! Scalers tried on a model: what a policy would have done under a given load, and what others would have
//! done.
//!
//! [`run`] takes a [`Setting`] (load, instances, seed) and a [`Scaler`] and gives an [`Outcome`]. [`Weir`] is
//! the policy under the daemon's own code; [`baseline`] knows the autoscalers that it is compared with. Pure:
//! no I/O, no clock, and what looks random comes from the setting's seed.

mod baselines;
mod group;
mod moment;
mod outcome;
mod pool;
mod random;
mod ranks;
pub mod report;
mod run;
mod scalers;
mod setting;
mod shapes;
pub mod suite;
pub mod trace;
mod view;
mod waits;
mod weir;

pub use baselines::{Hpa, Kpa, NomadAutoscaler};
pub use outcome::{Outcome, Second, Step};
pub use run::run;
pub use scalers::{BASELINES, baseline};
pub use setting::{Cluster, Service, Setting, Spread};
pub use shapes::{Shape, shapes};
pub use view::{Ask, Scaler, View};
pub use weir::Weir;
