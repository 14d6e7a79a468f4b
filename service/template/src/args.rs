//! The parameters of a helper's call, read as the types that the helper wants.

use std::borrow::Cow;

use handlebars::{Helper, JsonRender};
use serde_json::{Number, Value};

/// The parameters of one call.
pub(crate) struct Args<'a> {
    values: Vec<&'a Value>,
}

impl<'a> Args<'a> {
    pub(crate) fn of(helper: &'a Helper<'_>) -> Self {
        Self { values: helper.params().iter().map(handlebars::PathAndJson::value).collect() }
    }

    #[cfg(test)]
    pub(crate) fn from_values(values: Vec<&'a Value>) -> Self {
        Self { values }
    }

    pub(crate) fn all(&self) -> &[&'a Value] {
        &self.values
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'a Value> {
        self.values.get(index).copied()
    }

    /// The parameter, or null where there is none.
    pub(crate) fn value(&self, index: usize) -> &'a Value {
        self.get(index).unwrap_or(&Value::Null)
    }

    /// A text; numbers and truth values as they print, nothing as an empty text.
    pub(crate) fn text(&self, index: usize) -> Result<Cow<'a, str>, String> {
        text_of(self.value(index)).ok_or_else(|| format!("parameter {} must be a text", index + 1))
    }

    /// A number, or a text that spells one; nothing and the empty text are 0.
    pub(crate) fn number(&self, index: usize) -> Result<f64, String> {
        let value = self.value(index);
        let number = match value {
            Value::Null => Some(0.0),
            Value::String(text) if text.trim().is_empty() => Some(0.0),
            other => number_of(other),
        };
        number.ok_or_else(|| {
            format!("parameter {} must be a number, not `{}`", index + 1, printed_short(value))
        })
    }

    /// A list; nothing is an empty list.
    pub(crate) fn list(&self, index: usize) -> Result<&'a [Value], String> {
        match self.value(index) {
            Value::Null => Ok(&[]),
            Value::Array(items) => Ok(items),
            _ => Err(format!("parameter {} must be a list", index + 1)),
        }
    }
}

/// What a value prints as; lists and maps do not.
pub(crate) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => Some(Cow::Borrowed("")),
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(value.render())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The number that a value is or spells.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// 2^53: above it a double no longer holds every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number as JSON, without a fraction where it has none.
pub(crate) fn json_number(number: f64) -> Result<Value, String> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 53 bits")]
        return Ok(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number).ok_or_else(|| "the result is not a number".to_owned())
}

fn printed_short(value: &Value) -> String {
    value.render().chars().take(40).collect()
}
