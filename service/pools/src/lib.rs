//! What HAProxy's pools should hold: the catalogue, the instances in it, and the guard over both.
//!
//! Pure: no I/O, no clock, no randomness. The `consul` crate fills a [`Catalogue`], the `template` crate renders
//! from it, [`guard`] decides which instances stay although an answer turned empty, [`places`] checks
//! what was printed from the catalogue into a configuration, and [`advice`] says what a configuration lacks for all this.

pub mod advice;
mod catalogue;
pub mod guard;
mod instance;
pub mod places;
pub mod plan;

pub use catalogue::{Answer, Catalogue, KeyPair, Query, ServiceEntry};
pub use instance::{Check, Instance, Status, Weights, server_ids};
