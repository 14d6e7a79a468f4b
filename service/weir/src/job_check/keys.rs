//! Keys that Nomad does not know: what stands under one is read by nobody.
//!
//! In: blocks of a job file. Out: the mistakes, each with its place.

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Structure};

use super::place::Span;
use crate::config::did_you_mean;

const SCALING: &[&str] = &["enabled", "max", "min", "policy", "type"];

/// Of the many keys of a group those that may be meant as `scaling`: the others are Nomad's to know.
pub(super) fn of_group(group: &Block) -> Vec<(Span, String)> {
    let keys = group.body.iter().map(key).filter(|(name, _)| *name != "scaling");
    let misspelt = keys.filter_map(|(name, at)| {
        let hint = did_you_mean(name, ["scaling"]);
        (!hint.is_empty()).then(|| (at, format!("unknown key `{name}` in block `group`{hint}")))
    });
    misspelt.collect()
}

/// All of a `scaling` block that are not known there.
pub(super) fn of_scaling(scaling: &Block) -> Vec<(Span, String)> {
    // A `dynamic` block makes others.
    let keys = scaling.body.iter().map(key).filter(|(name, _)| *name != "dynamic");
    let unknown = keys.filter(|(name, _)| !SCALING.contains(name)).map(|(name, at)| {
        let hint = did_you_mean(name, SCALING.iter().copied());
        (at, format!("unknown key `{name}` in block `scaling`{hint}"))
    });
    let attribute = scaling.body.get_attribute("policy").map(|attribute| {
        let at = attribute.key.span().unwrap_or_default();
        (at, "`policy` is a block: write policy { … } without `=`".to_owned())
    });
    let second = scaling.body.get_blocks("policy").nth(1).map(|block| {
        let at = block.ident.span().unwrap_or_default();
        (at, "a second block `policy` in block `scaling`; there may be one only".to_owned())
    });
    unknown.chain(attribute).chain(second).collect()
}

/// The name of a key or block, and where it stands.
fn key(structure: &Structure) -> (&str, Span) {
    let name = match structure {
        Structure::Attribute(attribute) => &attribute.key,
        Structure::Block(block) => &block.ident,
    };
    (name.as_str(), name.span().unwrap_or_default())
}
