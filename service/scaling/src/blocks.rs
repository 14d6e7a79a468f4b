//! The shapes that HCL blocks take in Nomad's JSON.
//!
//! `check "a" { … }` arrives as `"check": [{"a": [{…}]}]`; written as an attribute, `check = { a = { … } }`, as
//! `"check": {"a": {…}}`. Both mean the same here.

use serde_json::{Map, Value};

/// A label and the body of its block, or a description of what is not one.
pub(crate) type Block<'a> = Result<(&'a str, &'a Map<String, Value>), String>;

/// The labelled blocks under one key, in order; a label as often as it was written.
pub(crate) fn labelled(value: &Value) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for outer in items(value) {
        let Some(labels) = outer.as_object() else {
            blocks.push(Err(outer.to_string()));
            continue;
        };
        for (label, bodies) in labels {
            blocks.extend(items(bodies).into_iter().map(|body| body_of(label, body)));
        }
    }
    blocks
}

fn body_of<'a>(label: &'a str, body: &'a Value) -> Block<'a> {
    body.as_object().map(|body| (label, body)).ok_or_else(|| format!("{label} = {body}"))
}

/// The body of a block that may stand once; `None` where the value is no block.
pub(crate) fn body(value: &Value) -> Option<&Map<String, Value>> {
    match value {
        Value::Array(list) if list.len() == 1 => list[0].as_object(),
        Value::Object(body) => Some(body),
        _ => None,
    }
}

/// The entries of a list; a single value is a list of one, null of none.
pub(crate) fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(value: &Value) -> Vec<String> {
        labelled(value)
            .into_iter()
            .map(|block| block.map_or_else(|e| e, |(label, _)| label.to_owned()))
            .collect()
    }

    #[test]
    fn blocks_and_attributes_read_alike() {
        assert_eq!(labels(&json!([{"a": [{}]}, {"b": [{}]}])), ["a", "b"]);
        assert_eq!(labels(&json!({"a": {}, "b": {}})), ["a", "b"]);
        assert_eq!(labels(&json!([{"a": [{}, {}]}])), ["a", "a"]);
        assert_eq!(labels(&json!([{"a": 3}])), ["a = 3"]);
        assert_eq!(labels(&json!([{"a": []}])), Vec::<String>::new());
    }
}
