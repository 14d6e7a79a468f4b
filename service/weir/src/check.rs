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
    /// What nothing can be said of: it was not read.
    pub(crate) unchecked: Vec<Problem>,
}

impl Found {
    /// The last word where there are no mistakes.
    pub(crate) fn verdict(&self) -> String {
        let found = match self.warnings.len() {
            0 => "no problems found".to_owned(),
            1 => "no mistakes found, and one warning".to_owned(),
            count => format!("no mistakes found, and {count} warnings"),
        };
        if self.unchecked.is_empty() { found } else { format!("{found}, but not all was checked") }
    }
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
    Found { mistakes, warnings, unchecked: jobs.unchecked }
}

fn check_template(template: &config::Template) -> Vec<Problem> {
    let text = match sources::read(&template.source) {
        Ok(text) => text,
        Err(error) => return vec![Problem::new(&template.place.file, template.place.line, error)],
    };
    let Err(problems) = Template::parse(&template.name(), &text) else { return Vec::new() };
    let located = |problem: weir_template::Problem| {
        let hint = problem.hint.map_or(String::new(), |hint| format!("; {hint}"));
        template.problem(problem.line, Some(problem.column), format!("{}{hint}", problem.message))
    };
    problems.into_iter().map(located).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of one template.
    async fn said(template: &str, source: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display().to_string();
        std::fs::write(dir.path().join("a.hbs"), source).unwrap();
        let file = dir.path().join("weir.hcl");
        std::fs::write(&file, template.replace("DIR", &place)).unwrap();
        let found = check(&[file], &[]).await;
        found.mistakes.iter().map(|one| one.to_string().replace(&format!("{place}/"), "")).collect()
    }

    #[tokio::test]
    async fn a_mistake_in_a_template_has_its_column() {
        let file = "template {\n  source = \"DIR/a.hbs\"\n  destination = \"DIR/a\"\n}\n";
        let mistakes = said(file, "one\ntwo {{nme}}\n").await;
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("a.hbs:2:7: "), "{mistakes:?}");
        let inline = "template {\n  contents = \"one\\ntwo {{nme}}\"\n  destination = \"DIR/a\"\n}\n";
        let mistakes = said(inline, "").await;
        let expected = "weir.hcl:1: `contents`, line 2, column 7: ";
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(expected), "{mistakes:?}");
    }
}
