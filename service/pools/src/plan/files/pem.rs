//! The text of a PEM file, cut into its blocks.
//!
//! In: a text. Out: a [`Pem`], or what is missing, in words: a file that is being written ends in the middle of a block. What stands
//! between blocks (names, comments, bag attributes) is dropped. What is in the blocks only HAProxy judges.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A PEM file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pem {
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

/// What stands between a `BEGIN` line and its `END`.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is, such as `CERTIFICATE`.
    pub label: String,
    /// The lines between, without blanks at their edges and without empty ones.
    pub lines: Vec<String>,
}

/// Keys are not for logs.
impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({}, {} lines)", self.label, self.lines.len())
    }
}

const CERTIFICATES: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

impl Pem {
    /// Reads a file. The error says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in text.lines().map(str::trim) {
            match (edge(line), &mut open) {
                (Some((true, label)), None) => {
                    open = Some(Block { label: label.to_owned(), lines: Vec::new() });
                }
                (Some((false, label)), Some(block)) if block.label == label && !block.lines.is_empty() => {
                    blocks.extend(open.take());
                }
                (Some((_, label)), _) => {
                    return Err(format!("a line for `{label}` stands where it does not belong"));
                }
                (None, Some(block)) if !line.is_empty() => block.lines.push(line.to_owned()),
                (None, _) => {}
            }
        }
        match open {
            Some(block) => Err(format!("it ends in the middle of a block `{}`", block.label)),
            None => Ok(Self { blocks }),
        }
    }

    /// The certificates in it.
    pub fn certificates(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| CERTIFICATES.contains(&block.label.as_str()))
    }

    /// Whether there is a private key in it.
    pub fn has_key(&self) -> bool {
        self.blocks.iter().any(Block::is_key)
    }
}

impl Block {
    /// Whether it is a private key.
    pub fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    /// Whether it wants a passphrase, which nobody can give to HAProxy.
    pub fn is_encrypted(&self) -> bool {
        self.label.starts_with("ENCRYPTED") || self.lines.iter().any(|line| line.starts_with("Proc-Type:"))
    }

    /// What is in it, decoded; `None` where that is not base64.
    pub fn der(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(self.lines.concat()).ok()
    }

    /// The block as text, without a line feed at its end.
    pub(super) fn text(&self) -> String {
        let Self { label, lines } = self;
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", lines.join("\n"))
    }
}

/// Whether a line begins (or ends) a block, and which.
fn edge(line: &str) -> Option<(bool, &str)> {
    let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
    let begin = inner.strip_prefix("BEGIN ").map(|label| (true, label));
    begin.or_else(|| inner.strip_prefix("END ").map(|label| (false, label)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "Bag Attributes\n\n-----BEGIN CERTIFICATE-----\r\nAQID\r\n\r\nBA==  \n-----END CERTIFICATE-----\n\
                        -----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn blocks_are_cut_out_without_what_would_end_a_payload() {
        let pem = Pem::read(TEXT).unwrap();
        assert!(pem.has_key() && pem.blocks.len() == 2);
        let certificate = pem.certificates().next().unwrap();
        assert_eq!(certificate.der().unwrap(), [1, 2, 3, 4]);
        assert_eq!(certificate.text(), "-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----");
        assert!(!format!("{pem:?}").contains("AQID"), "{pem:?}");
    }

    #[test]
    fn encrypted_keys_are_known_in_both_forms() {
        let block = |text: &str| Pem::read(text).unwrap().blocks.remove(0);
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA==\n-----END RSA PRIVATE KEY-----\n";
        let new = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(block(old).is_encrypted() && block(new).is_encrypted() && block(new).is_key());
    }

    proptest! {
        #[test]
        fn a_file_that_is_cut_off_is_never_taken_for_more_than_its_whole_blocks(end in 0..TEXT.len()) {
            let whole = Pem::read(TEXT).unwrap();
            if let Ok(part) = Pem::read(&TEXT[..end]) {
                prop_assert!(whole.blocks.starts_with(&part.blocks));
            }
        }

        #[test]
        fn no_text_breaks_it_and_no_block_has_an_empty_line(text in "(-----(BEGIN|END) (A|B)-----|[ -~]{0,3}|\n){0,12}") {
            if let Ok(pem) = Pem::read(&text) {
                prop_assert!(pem.blocks.iter().all(|block| block.text().lines().all(|line| !line.is_empty())));
            }
        }
    }
}
