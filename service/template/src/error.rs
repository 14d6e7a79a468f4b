//! Why a render failed.

/// A template could not be rendered. The last good source should stay in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{template}{}: {message}", place(*.line, *.column))]
pub struct RenderError {
    /// The template's name, usually its path.
    pub template: String,
    /// Line of the tag that failed, from 1, where it is known.
    pub line: Option<usize>,
    /// Column of that tag, from 1.
    pub column: Option<usize>,
    /// What happened.
    pub message: String,
}

fn place(line: Option<usize>, column: Option<usize>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        (Some(line), None) => format!(":{line}"),
        (None, _) => String::new(),
    }
}

impl RenderError {
    pub(crate) fn of(template: &str, error: &handlebars::RenderError) -> Self {
        Self {
            template: template.to_owned(),
            line: error.line_no,
            column: error.column_no,
            message: error.reason().to_string(),
        }
    }
}
