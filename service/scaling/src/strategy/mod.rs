//! The formulas: from what a check sees to a number of instances.
//!
//! In: numbers and options. Out: a count, or nothing where the strategy asks for no change. They cannot fail;
//! what is no number never gets here.

mod autoscaler;
mod concurrency;
mod staffing;

pub use autoscaler::{pass_through, target_value, threshold};
pub(crate) use concurrency::{Need, Outlook, need};
pub use staffing::{margin_factor, waiting};

/// What a division may be too high by without being another instance.
const ROUNDING: f64 = 1e-9;

/// The next whole number; nothing below 0 or beyond what a count can be.
pub(crate) fn whole(number: f64) -> u64 {
    let up = (number - ROUNDING).ceil().clamp(0.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and u32::MAX")]
    let count = up as u64;
    count
}
