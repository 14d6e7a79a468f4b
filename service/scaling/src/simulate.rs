//! Scalers tried on a model: what a policy would have done under a given load, and what others would have done.

mod baselines;

pub use baselines::{Hpa, Kpa, NomadAutoscaler};
