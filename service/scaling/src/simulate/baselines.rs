//! The scalers that Weir is compared with, as rules without their surroundings.
//!
//! In: one metric and the count, at the scaler's own rhythm. Out: the count it wants. Each is written from
//! its published behaviour and tested on published cases; all get what is best for them: the work in the
//! whole pool, with what waits in HAProxy's queue, at once and never missing.

mod hpa;
mod kpa;
mod target_value;
mod window;

pub use hpa::Hpa;
pub use kpa::Kpa;
pub use target_value::NomadAutoscaler;
