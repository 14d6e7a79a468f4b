//! HCL as the JSON that Nomad makes of it, where nothing is computed.
//!
//! In: a block of a job file. Out: its `policy` as Nomad hands it out: nested blocks are lists of single-key
//! maps. Nothing where a value has variables or functions: that only Nomad can tell.

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};
use serde_json::{Map, Value};

/// A block as Nomad hands it out: nested blocks are lists of single-key maps. Nothing where a value is
/// computed.
pub(crate) fn blocks(body: &Body) -> Option<Value> {
    let mut map = Map::new();
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                map.insert(attribute.key.as_str().to_owned(), literal(&attribute.value)?);
            }
            Structure::Block(block) => {
                let inner = block.labels.iter().rev().try_fold(blocks(&block.body)?, |inner, label| {
                    Some(Value::Array(vec![Value::Object(Map::from_iter([(
                        label.as_str().to_owned(),
                        inner,
                    )]))]))
                })?;
                let list = map.entry(block.ident.as_str()).or_insert_with(|| Value::Array(Vec::new()));
                let members = if let Value::Array(members) = inner { members } else { vec![inner] };
                list.as_array_mut()?.extend(members);
            }
        }
    }
    Some(Value::Object(map))
}

/// A value that is written out; nothing where it is computed.
pub(super) fn literal(expression: &Expression) -> Option<Value> {
    match expression {
        Expression::Null(_) => Some(Value::Null),
        Expression::Bool(value) => Some(Value::Bool(*value.value())),
        Expression::Number(number) => {
            let number = number.value();
            number.as_u64().map(Value::from).or_else(|| number.as_f64().map(Value::from))
        }
        Expression::String(text) => Some(Value::String(text.value().clone())),
        Expression::Array(items) => items.iter().map(literal).collect(),
        Expression::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let key = match key {
                    ObjectKey::Ident(ident) => ident.as_str().to_owned(),
                    ObjectKey::Expression(expression) => expression.as_str()?.to_owned(),
                };
                Some((key, literal(value.expr())?))
            })
            .collect::<Option<Map<_, _>>>()
            .map(Value::Object),
        _ => None,
    }
}
