//! `weir check`: every mistake of configuration, templates and policies, at once, and advice about HAProxy's configuration.
//!
//! In: configuration files and Nomad job files. Out: problems with file, line and what to do. The same code reads them
//! as in `weir run`.

use std::path::{Path, PathBuf};

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body, Structure};
use serde_json::{Map, Value};
use weir_scaling::RawPolicy;
use weir_template::Template;

use crate::advice::advice;
use crate::config::{self, Problem};
use crate::sources;

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// What must be mended, in order of files and lines.
    pub(crate) mistakes: Vec<Problem>,
    /// What should be bettered: works as it is.
    pub(crate) warnings: Vec<Problem>,
}

/// Everything that is wrong, and everything that could be better.
pub(crate) async fn check(configs: &[PathBuf], jobs: &[PathBuf]) -> Found {
    let loaded = config::load(configs);
    // Which files HAProxy loads is not certain while the configuration has mistakes.
    let warnings = if loaded.problems.is_empty() { advice(&loaded.config).await } else { Vec::new() };
    let mut mistakes = loaded.problems;
    for template in &loaded.config.templates {
        mistakes.extend(check_template(template));
    }
    mistakes.extend(jobs.iter().flat_map(|path| check_job(path)));
    Found { mistakes, warnings }
}

fn check_template(template: &config::Template) -> Vec<Problem> {
    let text = match sources::read(&template.source) {
        Ok(text) => text,
        Err(error) => return vec![Problem::new(&template.place.file, template.place.line, error)],
    };
    let Err(problems) = Template::parse(&template.name(), &text) else { return Vec::new() };
    let located = |problem: weir_template::Problem| {
        let hint = problem.hint.map_or(String::new(), |hint| format!("; {hint}"));
        template.problem(problem.line, format!("{}{hint}", problem.message))
    };
    problems.into_iter().map(located).collect()
}

fn check_job(path: &Path) -> Vec<Problem> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return vec![Problem::new(path, 0, format!("cannot be read: {error}"))],
    };
    match hcl_edit::parser::parse_body(&text) {
        Err(error) => {
            let message = format!("this is not HCL: {}", error.message().trim());
            vec![Problem::new(path, error.location().line(), message)]
        }
        Ok(body) => {
            let mut job = JobFile { path, text: &text, problems: Vec::new() };
            job.policies(&body);
            job.problems
        }
    }
}

/// A Nomad job file, as far as its scaling blocks go. What is computed by variables or functions is left to Nomad.
struct JobFile<'a> {
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl JobFile<'_> {
    fn policies(&mut self, body: &Body) {
        for job in body.get_blocks("job") {
            for group in job.body.get_blocks("group") {
                let scaling: Vec<&Block> = group.body.get_blocks("scaling").collect();
                for scaling in scaling {
                    self.scaling(job, group, scaling);
                }
            }
        }
    }

    fn scaling(&mut self, job: &Block, group: &Block, scaling: &Block) {
        let label =
            |block: &Block| block.labels.first().map_or(String::new(), |label| label.as_str().to_owned());
        let number = |name: &str| {
            let attribute = scaling.body.get_attribute(name)?;
            attribute.value.as_number()?.as_u64()
        };
        let policy = scaling.body.get_blocks("policy").next();
        let Some(block) = policy.map_or(Some(Value::Null), |policy| blocks(&policy.body)) else { return };
        let raw = RawPolicy {
            id: String::new(),
            namespace: String::new(),
            job: label(job),
            group: label(group),
            min: number("min")
                .or_else(|| group.body.get_attribute("count")?.value.as_number()?.as_u64())
                .unwrap_or(1),
            max: number("max").unwrap_or(u64::MAX),
            enabled: true,
            modify_index: 0,
            policy: block,
        };
        if scaling.body.get_attribute("max").is_none() {
            self.report(scaling.ident.span(), "block `scaling` needs `max`; Nomad refuses the job without");
        }
        let Err(problems) = weir_scaling::parse(&raw) else { return };
        for problem in problems {
            let span = policy.and_then(|policy| self.find(policy, &problem.message));
            let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
            self.report(span.or_else(|| scaling.ident.span()), &format!("{place}{}", problem.message));
        }
    }

    /// Where the key stands that a problem names in quotes; else the policy block.
    fn find(&self, policy: &Block, message: &str) -> Option<std::ops::Range<usize>> {
        let start = policy.ident.span()?.start;
        let end = policy.span()?.end;
        let text = self.text.get(start..end)?;
        let named = message.split(['`', '"']).skip(1).step_by(2);
        let found = named.filter(|name| !name.is_empty()).find_map(|name| word(text, name));
        let at = start + found.unwrap_or(0);
        Some(at..at)
    }

    fn report(&mut self, span: Option<std::ops::Range<usize>>, message: &str) {
        let start = span.map_or(0, |span| span.start);
        let line = 1 + self.text.get(..start).unwrap_or_default().matches('\n').count();
        self.problems.push(Problem::new(self.path, line, message));
    }
}

/// Where `name` stands in `text` as a whole word.
fn word(text: &str, name: &str) -> Option<usize> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back().is_some_and(inside);
        let after = text[at + name.len()..].chars().next().is_some_and(inside);
        !before && !after
    })
}

/// A block as Nomad hands it out: nested blocks are lists of single-key maps. Nothing where a value is computed.
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

fn literal(expression: &Expression) -> Option<Value> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn job(policy: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.nomad.hcl");
        let text = format!(
            "job \"web\" {{\n  group \"app\" {{\n    scaling {{\n      min = 2\n      max = 20\n      policy {{\n{policy}\n      }}\n    }}\n  }}\n}}\n"
        );
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", dir.path().display());
        check_job(&path).iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
    }

    #[test]
    fn the_policy_of_the_design_is_fine() {
        let policy = "check \"load\" {\n source = \"haproxy\"\n strategy \"concurrency\" {}\n}";
        assert_eq!(job(policy), Vec::<String>::new());
    }

    #[test]
    fn a_misspelt_key_is_found_where_it_stands() {
        let problems = job("check \"load\" {\n sorce = \"haproxy\"\n strategy \"concurrency\" {}\n}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("web.nomad.hcl:8: "), "{problems:?}");
        assert!(problems[0].contains("source"), "{problems:?}");
    }
}
