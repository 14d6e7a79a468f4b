//! Templates in handlebars, their helpers, and what a render read.
//!
//! In: a template's source and a [`weir_pools::Catalogue`]. Out: the text, where in it values were printed that
//! nobody vouches for, and the queries that were read. No I/O. A source is checked as a whole when it is parsed
//! ([`Problem`]s with line and column), so that a misspelt field or helper is found before anything is rendered. An [`Outline`] is what a source says without any
//! catalogue.

mod args;
mod chunks;
mod each;
mod error;
mod items;
mod laid;
mod lint;
mod lists;
mod loops;
mod numbers;
mod outline;
mod printed;
mod problem;
mod pure;
mod reading;
mod readings;
#[cfg(test)]
mod sameness;
mod selection;
mod signature;
mod template;
#[cfg(test)]
mod tests;
mod texts;

pub use error::RenderError;
pub use outline::{HOLE, Outline, outline};
pub use problem::Problem;
pub use template::{Rendered, Template};
