//! A reader that went away (`weir man | head`) is a quiet end.

use std::process::Stdio;

use crate::rig::weir::{command, said};

#[test]
fn what_is_printed_to_nobody_is_no_error() {
    for line in ["man", "completions bash", "completions zsh", "options"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command().args(line.split(' ')).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "weir {line}: {}", said(&output));
    }
}
