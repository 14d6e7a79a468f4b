//! The language of haproxy.cfg: words, lines, sections, servers.
//!
//! Input is the text of a configuration file, output a [`Document`] that keeps every byte of it: what is not
//! understood stays as an opaque line, and printing a document gives the same text back. Nothing here fails or
//! panics on bad input: what HAProxy would refuse is a [`Fault`] of its line, and the other lines are read on.
//!
//! The crate is pure: it opens no file and resolves neither host names nor environment variables.
//!
//! ```
//! let text = "backend web\n    balance leastconn\n    server a 10.0.0.1:80 check\n";
//! let document = haproxy_cfg::Document::parse(text);
//! let web = document.pools().next().unwrap();
//! assert_eq!((web.name, web.balance), ("web", Some("leastconn")));
//! assert_eq!(web.servers[0].address.socket_addr(), Some("10.0.0.1:80".parse().unwrap()));
//! assert_eq!(document.to_string(), text);
//! ```

mod address;
mod configuration;
mod document;
mod in_force;
mod lexer;
mod line;
mod pool;
mod scan;
mod section;
mod sections;
mod server;

pub use address::{Address, Host, Port};
pub use configuration::{Configuration, File};
pub use document::Document;
pub use in_force::{Holding, InForce, Known, Setting, Source};
pub use lexer::lex;
pub use line::{Fault, FaultKind, Line, MAX_WORDS, PlainWords, Quote, Quoted, Word};
pub use pool::Pool;
pub use section::{KEYWORDS, Section};
pub use sections::{Part, PoolNames, Sections};
pub use server::{Server, ServerTemplate};
