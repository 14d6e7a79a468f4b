//! `weir check`: every mistake of configuration, templates and policies, at once, and advice about HAProxy's configuration.
//!
//! In: configuration files and Nomad job files. Out: problems with file, line and what to do. The same code reads them
//! as in `weir run`.

use std::path::PathBuf;

use weir_template::Template;

use crate::advice::advice;
use crate::config::{self, Problem};
use crate::{job_check, sources};

/// What was found.
#[derive(Debug, Default)]
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
    let mut warnings = if loaded.problems.is_empty() { advice(&loaded.config).await } else { Vec::new() };
    let mut mistakes = loaded.problems;
    for template in &loaded.config.templates {
        mistakes.extend(check_template(template));
    }
    let jobs = job_check::check_all(jobs, None).await;
    mistakes.extend(jobs.mistakes);
    warnings.extend(jobs.warnings);
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
