//! The ACL token of the next request.
//!
//! In: a [`TokenSource`]. Out: the token, if any. A file is looked at before a request, at most once a second, and
//! read when its time or length changed. Fails while the file has never been readable; one that goes away later leaves
//! the last token in force.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Error, Secret, TokenSource};

/// Looking more often than this would cost more than it brings: tokens change by hand or by an agent's rotation.
const LOOK: Duration = Duration::from_secs(1);

/// Hands out the token.
#[derive(Debug)]
pub(crate) enum Token {
    Fixed(Option<Secret>),
    File(PathBuf, Mutex<Cached>),
}

/// What was last seen of the file.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    looked: Option<Instant>,
    stamp: Option<(SystemTime, u64)>,
    token: Option<Secret>,
}

impl Token {
    pub(crate) fn new(source: TokenSource) -> Self {
        match source {
            TokenSource::None => Self::Fixed(None),
            TokenSource::Literal(secret) => Self::Fixed(Some(secret)),
            TokenSource::File(path) => Self::File(path, Mutex::default()),
        }
    }

    /// The token for a request that is sent now; an empty file means none.
    pub(crate) async fn get(&self) -> Result<Option<Secret>, Error> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::File(path, cached) => cached.lock().await.get(path).await,
        }
    }
}

impl Cached {
    async fn get(&mut self, path: &Path) -> Result<Option<Secret>, Error> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            match self.look(path).await {
                Err(source) if self.stamp.is_none() => {
                    return Err(Error::TokenFile { path: path.to_owned(), source });
                }
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%path, %error, "token file cannot be read: the last token stays");
                }
                Ok(()) => {}
            }
            self.looked = Some(Instant::now());
        }
        Ok(self.token.clone().filter(|token| !token.reveal().is_empty()))
    }

    async fn look(&mut self, path: &Path) -> std::io::Result<()> {
        let meta = tokio::fs::metadata(path).await?;
        let stamp = (meta.modified()?, meta.len());
        if self.stamp != Some(stamp) {
            self.token = Some(Secret::new(tokio::fs::read_to_string(path).await?.trim()));
            self.stamp = Some(stamp);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_changes_and_kept_when_it_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = Token::new(TokenSource::File(path.clone()));
        assert!(matches!(token.get().await, Err(Error::TokenFile { .. })));

        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(token.get().await.unwrap(), Some(Secret::new("one")));
        std::fs::write(&path, "another\n").unwrap();
        assert_eq!(token.get().await.unwrap(), Some(Secret::new("one")), "looked at again after a second");
        tokio::time::advance(LOOK).await;
        assert_eq!(token.get().await.unwrap(), Some(Secret::new("another")));

        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(token.get().await.unwrap(), Some(Secret::new("another")));
    }
}
