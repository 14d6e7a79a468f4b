//! What HAProxy's pools should hold: the catalogue, the instances in it, and the guard over both.
//!
//! Pure: no I/O, no clock, no randomness. The `consul` crate fills a [`Catalogue`], the `template` crate renders
//! from it, [`guard`] decides which instances stay although an answer turned empty, [`places`] checks
//! what was printed from the catalogue into a configuration, and [`advice`] says what a configuration lacks for all this.
//! [`intents`] are wishes about single servers, and [`plan`] what takes HAProxy to what is wanted. What is kept from version to
//! version stands in a [`SharedMap`].

pub mod advice;
mod catalogue;
pub mod guard;
mod instance;
pub mod intents;
pub mod places;
pub mod plan;
mod shared_map;

pub use catalogue::{Answer, Catalogue, KeyPair, Query, ServiceEntry};
pub use instance::{Check, Instance, Status, Weights, server_ids};
pub use shared_map::SharedMap;
