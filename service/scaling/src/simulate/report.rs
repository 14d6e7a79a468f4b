//! The outcome of a simulation as one HTML page for a browser, without anything from elsewhere.
//!
//! In: what was simulated, and the outcomes by scaler. Out: the page. A table comes first, then for each
//! scaler its course: load and capacity, count and changes, queue. Everything that is said over a plot on
//! hover also stands in the table or in the axis. Colours follow the reader's light or dark setting.

mod axis;
mod course;
mod escape;
mod page;
mod panel;
mod style;

pub use page::{Report, Run, page};
