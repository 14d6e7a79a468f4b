//! A secret that is written in the configuration, or stands in a file.
//!
//! A file is read again for each use, so that a rotated secret takes effect. It is never shown.

use std::path::PathBuf;

use super::parse::Section;

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Token {
    None,
    Value(String),
    File(PathBuf),
}

impl Token {
    /// What the options `token` and `token_file` of a block say.
    pub(super) fn of(section: &Section) -> Self {
        match (section.text("token"), section.text("token_file")) {
            (Some(token), _) => Self::Value(token),
            (None, Some(path)) => Self::File(path.into()),
            (None, None) => Self::None,
        }
    }

    /// The secret; nothing where there is none. Fails in words where its file cannot be read, or is empty.
    pub(crate) async fn secret(&self) -> Result<Option<String>, String> {
        let path = match self {
            Self::None => return Ok(None),
            Self::Value(token) => return Ok(Some(token.clone())),
            Self::File(path) => path,
        };
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| format!("token_file {} cannot be read: {error}", path.display()))?;
        match text.trim() {
            "" => Err(format!("token_file {} is empty: write the secret into it", path.display())),
            token => Ok(Some(token.to_owned())),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Value(_) => f.write_str("Value(hidden)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_anew_and_an_empty_one_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::File(path.clone());
        assert!(token.secret().await.unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "a\n").unwrap();
        assert_eq!(token.secret().await, Ok(Some("a".into())));
        std::fs::write(&path, "b\n").unwrap();
        assert_eq!(token.secret().await, Ok(Some("b".into())));
        std::fs::write(&path, "\n").unwrap();
        assert!(token.secret().await.unwrap_err().contains("is empty"));
        assert!(!format!("{:?}", Token::Value("geheim".into())).contains("geheim"));
    }
}
