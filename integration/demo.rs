//! `weir demo` on a machine with nothing but HAProxy.

use std::path::PathBuf;

use crate::rig::haproxy;
use crate::rig::weir::{run, said};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_well() {
    if haproxy::binary().is_none() {
        return;
    }
    let output = run(["demo", "--seconds", "40"].map(PathBuf::from).into()).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
