//! The policy that is simulated, from the file that a person keeps it in.
//!
//! In: a Nomad job file, or a file with a `scaling` block alone. Out: the policy as Nomad would hand it out
//! and as Weir understands it. Every fault names the file and what to do.

use std::path::Path;

use anyhow::{Context, bail};
use hcl_edit::structure::{Block, Body};
use serde_json::{Value, json};
use weir_scaling::{Policy, RawPolicy};

use crate::config::not_hcl;
use crate::job_check;

/// The policy of one group.
pub(super) fn read(path: &Path, group: Option<&str>) -> anyhow::Result<Policy> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    let body = hcl_edit::parser::parse_body(&text)
        .map_err(|error| anyhow::anyhow!(not_hcl(path, &text, &error).to_string()))?;
    let mut found = scalings(&body);
    if let Some(group) = group {
        found.retain(|scaling| scaling.group == group);
    }
    let one = match found.as_slice() {
        [one] => one,
        [] => {
            let place = group.map_or(String::new(), |group| format!(" in a group {group:?}"));
            bail!("{shown} has no scaling block{place}")
        }
        several => {
            let groups: Vec<&str> = several.iter().map(|scaling| scaling.group.as_str()).collect();
            bail!("{shown} has several scaling blocks: say --group with one of {}", groups.join(", "))
        }
    };
    let raw = one.raw().with_context(|| shown.to_string())?;
    weir_scaling::parse(&raw).map_err(|problems| {
        let located =
            |problem| format!("{shown}:{}: {problem}", job_check::line_of(&text, one.block, problem));
        let problems: Vec<String> = problems.iter().map(located).collect();
        anyhow::anyhow!(problems.join("\n"))
    })
}

/// What DESIGN's smallest policy says: strategy `concurrency` and nothing else.
pub(super) fn default(min: u64, max: u64) -> anyhow::Result<Policy> {
    let policy = json!([{ "check": [{ "load": [{ "strategy": [{ "concurrency": [{}] }] }] }] }]);
    weir_scaling::parse(&raw("app", min, max, policy))
        .map_err(|problems| anyhow::anyhow!("the default policy is refused: {problems:?}"))
}

/// A `scaling` block and whose it is.
struct Scaling<'a> {
    group: String,
    /// The group's `count`, which is `min` where that is not given.
    count: Option<u64>,
    block: &'a Block,
}

fn scalings(body: &Body) -> Vec<Scaling<'_>> {
    let alone = body.get_blocks("scaling").map(|block| Scaling { group: String::new(), count: None, block });
    let groups = body.get_blocks("job").flat_map(|job| job.body.get_blocks("group"));
    let of_groups = groups.flat_map(|group| {
        let label = group.labels.first().map_or("", |label| label.as_str());
        let count = number(&group.body, "count");
        let of_group = move |block| Scaling { group: label.to_owned(), count, block };
        group.body.get_blocks("scaling").map(of_group)
    });
    alone.chain(of_groups).collect()
}

impl Scaling<'_> {
    fn raw(&self) -> anyhow::Result<RawPolicy> {
        let max = number(&self.block.body, "max").context("block `scaling` needs `max`, a number")?;
        let min = number(&self.block.body, "min").or(self.count).unwrap_or(1);
        let policy = self.block.body.get_blocks("policy").next();
        let policy = policy.map_or(Some(Value::Null), |policy| job_check::blocks(&policy.body));
        let policy = policy.context("the policy computes values: write numbers and text instead")?;
        Ok(raw(&self.group, min, max, policy))
    }
}

fn number(body: &Body, name: &str) -> Option<u64> {
    body.get_attribute(name)?.value.as_number()?.as_u64()
}

fn raw(group: &str, min: u64, max: u64, policy: Value) -> RawPolicy {
    RawPolicy {
        id: "simulated".to_owned(),
        namespace: "default".to_owned(),
        job: "simulated".to_owned(),
        group: group.to_owned(),
        min,
        max,
        enabled: true,
        modify_index: 1,
        policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, group: Option<&str>) -> Result<Policy, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.hcl");
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", dir.path().display());
        read(&path, group).map_err(|error| format!("{error:#}").replace(&prefix, ""))
    }

    const SCALING: &str = "scaling {
        max = 9
        policy {
            check \"load\" {
                strategy \"concurrency\" {}
            }
        }
    }
    ";

    #[test]
    fn a_job_and_a_block_alone_are_read() {
        let policy = written(SCALING, None).unwrap();
        assert_eq!((policy.min, policy.max, policy.checks.len()), (1, 9, 1));
        let group = |name: &str| format!("group \"{name}\" {{\n count = 3\n {SCALING} }}\n");
        let job = format!("job \"web\" {{\n{}{}}}\n", group("app"), group("other"));
        assert_eq!(written(&job, Some("app")).map(|policy| policy.min), Ok(3));
        assert!(written(&job, None).unwrap_err().contains("--group with one of app, other"));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        assert!(written("job \"a\" {\n}\n", None).unwrap_err().starts_with("web.hcl has no scaling block"));
        assert!(written("scaling {\n}\n", None).unwrap_err().contains("needs `max`"));
        let computed = SCALING.replace("policy {", "policy {\n slots = var.slots\n");
        assert!(written(&computed, None).unwrap_err().contains("computes"));
        let misspelt = SCALING.replace("strategy", "stratgy");
        assert!(written(&misspelt, None).unwrap_err().starts_with("web.hcl:5: check \"load\": unknown key"));
        assert!(written("scaling {", None).unwrap_err().contains("not HCL"));
    }

    #[test]
    fn the_default_is_a_policy() {
        assert!(default(2, 400).is_ok());
    }
}
