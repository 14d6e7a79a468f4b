//! An HAProxy that says what a test wants it to.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Takes one connection, gives the answer to each text that is expected, byte by byte and in order, and hangs up. Out: what else
/// it is sent before the other side ends the connection.
pub(crate) fn scripted(path: &Path, script: &'static [(&'static str, &'static str)]) -> JoinHandle<String> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for (expected, answer) in script {
            let mut said = vec![0; expected.len()];
            stream.read_exact(&mut said).await.unwrap();
            assert_eq!(String::from_utf8(said).unwrap(), *expected);
            for byte in answer.as_bytes() {
                stream.write_all(&[*byte]).await.unwrap();
            }
        }
        stream.shutdown().await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        rest
    })
}
