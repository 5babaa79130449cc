//! Evidence that nobody touched the record: lines become leaves, leaves a tree, trees a chain of signed blocks.
//!
//! Pure: no database, no network, no clock. Whoever seals and whoever verifies, on the record or on an export of it,
//! computes the same hashes here. The invariant: everything a block says is covered by its head, and its head by the
//! signature and by the block after it. `docs/evidence.md` has the formats, so that others can check them too.

mod block;
pub mod check;
mod checkpoint;
mod key;
mod line;
mod merkle;

pub use block::{Block, Head, Leaf, NO_BLOCK};
pub use checkpoint::Checkpoint;
pub use key::{KeyError, PublicKey, SealKey, Signature};
pub use line::{BlockLine, BlockMembers};
pub use merkle::{leaf, root};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that lower-case hex stands for, `N` of them; `None` if it does not.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex_all(text)?.try_into().ok()
}

/// The bytes that lower-case hex stands for.
fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests;
