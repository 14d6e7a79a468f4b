//! The `weir` command.

mod config;

fn main() {}
