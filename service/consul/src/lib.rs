//! Consul's HTTP API, as far as a load balancer needs it: one catalogue from blocking queries, and a lock.
//!
//! In: [`Options`] (where Consul is and who asks) and the set of [`weir_pools::Query`]s that somebody wants
//! answered. Out: a [`weir_pools::Catalogue`] and a [`Health`], both as `tokio::sync::watch` channels
//! ([`watch()`]), and a [`Leadership`] ([`lock()`]). [`be_present`] keeps a key as long as its process lives.
//! [`Client`] reads and writes single keys.
//!
//! Nothing in here gives up: while Consul does not answer the last good answers stay, one probe for all asks
//! whether it is back (`gate`), and then everything is read in full. What concerns one query alone (a denied
//! permission, say) holds up that query only and stands in [`Health::problems`].
//!
//! | module | its idea |
//! |---|---|
//! | `options`, `token`, `tls` | where Consul is and who asks |
//! | `client`, `error`, `decode` | one request, what can go wrong with it, what its answer means |
//! | `gate` | one probe for all while Consul is away |
//! | `cursor`, `pace`, `poll` | one blocking query, asked again and again |
//! | `allot`, `watcher` | which connections follow which queries; the catalogue |
//! | `wide`, `view`, `reader` | more services than connections |
//! | `lock` | the session lock |
//! | `presence` | a key that says who is there |

mod allot;
mod client;
mod cursor;
mod decode;
mod error;
mod gate;
mod health;
mod lock;
mod options;
mod pace;
mod poll;
mod presence;
mod reader;
mod tls;
mod token;
mod view;
mod watcher;
mod wide;

pub use client::{Client, Keys, KvEntry, Session};
pub use error::Error;
pub use health::{Health, Mode, Reach};
pub use lock::{Leadership, LockOptions, lock};
pub use options::{Auth, Options, Secret, Tls, TokenSource};
pub use presence::{Presence, be_present};
pub use watcher::watch;
