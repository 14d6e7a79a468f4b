//! Whether weir has said something, loosely: by words, not by the exact shape, in the status, the log and the metrics.

use serde_json::Value;

/// Whether one object in `value` says all of `words` in its own texts and numbers. Its parts' do not count, so that two things
/// that are said of different servers are not taken for one.
pub(crate) fn says(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::Object(fields) => {
            let own: Vec<String> = fields.iter().filter_map(|(name, field)| own_text(name, field)).collect();
            let own = own.join(" ");
            words.iter().all(|word| own.contains(word)) || fields.values().any(|field| says(field, words))
        }
        Value::Array(items) => items.iter().any(|item| says(item, words)),
        _ => false,
    }
}

/// A field's name and value, where it has one and that is no object.
fn own_text(name: &str, field: &Value) -> Option<String> {
    let is_empty = match field {
        Value::Null | Value::Bool(false) | Value::Object(_) => true,
        Value::Array(items) => items.is_empty() || items.iter().any(Value::is_object),
        _ => false,
    };
    (!is_empty).then(|| format!("{name}={field}"))
}

/// Whether a line of the log, a warning or an error, has one of `words` and all of `all`.
pub(crate) fn warns(log: &str, words: &[&str], all: &[&str]) -> bool {
    let is_loud = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let fits = |line: &str| {
        words.iter().any(|word| line.contains(word)) && all.iter().all(|word| line.contains(word))
    };
    log.lines().filter(is_loud).any(fits)
}

/// Whether a metric whose name has one of `words` is not 0 for this backend.
pub(crate) fn measures(metrics: &str, words: &[&str], backend: &str) -> bool {
    let label = format!("backend=\"{backend}\"");
    let ours = metrics.lines().filter(|line| line.starts_with("weir_") && line.contains(&label));
    let named = ours.filter_map(|line| {
        let name = line.split('{').next()?;
        words.iter().any(|word| name.contains(word)).then_some(line)
    });
    named.filter_map(|line| line.rsplit(' ').next()).any(|number| number != "0")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_looked_for_in_one_object() {
        let status = json!({"pools": [
            {"backend": "web", "kept": [], "servers": [{"name": "a", "by_hand": "maint"}, {"name": "b", "by_hand": null}]},
        ]});
        assert!(says(&status, &["by_hand", "a"]) && says(&status, &["web"]));
        assert!(!says(&status, &["by_hand", "\"b\""]) && !says(&status, &["web", "maint"]));
        assert!(!says(&status, &["kept"]));
    }

    #[test]
    fn only_loud_lines_and_metrics_that_are_not_zero_count() {
        let log = "INFO web is kept\nERROR web is kept: 2\n";
        assert!(warns(log, &["kept", "panic"], &["web"]) && !warns(log, &["kept"], &["api"]));
        assert!(!warns("INFO web is kept", &["kept"], &["web"]));
        let metrics = "weir_pool_kept{backend=\"web\",haproxy=\"\"} 2\nweir_pool_kept{backend=\"api\",haproxy=\"\"} 0\n";
        assert!(measures(metrics, &["panic", "kept"], "web") && !measures(metrics, &["kept"], "api"));
    }
}
