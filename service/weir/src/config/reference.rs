//! The key table as a page: every block and option with its default.

use std::fmt::Write as _;

use super::schema::{BlockSpec, Kind, REQUIRED, ROOT};

/// The reference page in Markdown. `docs/options.md` is this text.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "# Options of weir.hcl\n\nThis page is what `weir options` prints. Durations are written \"500ms\", \"10s\", \
         \"5m\"; file modes are octal, as 0644.\n",
    );
    block(&mut page, &ROOT, &[]);
    page
}

fn block(page: &mut String, spec: &BlockSpec, parents: &[&str]) {
    let path = [parents, &[spec.name]].concat();
    let title =
        if spec.name.is_empty() { "Top level".into() } else { format!("`{}`", path[1..].join("` in `")) };
    let often = if spec.many { " May be given more than once." } else { "" };
    let _ = write!(
        page,
        "\n## {title}\n{}{often}\n\n| option | value | default | meaning |\n|---|---|---|---|\n",
        spec.about
    );
    for option in spec.options {
        let default = match option.default {
            "" => String::new(),
            REQUIRED => "must be given".into(),
            default => format!("`{default}`"),
        };
        let _ =
            writeln!(page, "| `{}` | {} | {default} | {} |", option.name, word(option.kind), option.about);
    }
    for child in spec.blocks {
        block(page, child, &path);
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Texts => "list of texts",
        Kind::Duration => "duration",
        Kind::Flag => "true or false",
        Kind::Count => "number",
        Kind::Perms => "file mode",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_in_step_with_the_key_table() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md")).unwrap();
        assert!(page == reference(), "run: cargo run -p weir -- options > docs/options.md");
    }
}
