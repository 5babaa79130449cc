//! The tree of RFC 6962, section 2.1, over SHA-256.

use aws_lc_rs::digest::{Context, SHA256};

use super::Hash;

/// The hash of an entry's line; the first byte keeps leaves and nodes apart.
#[must_use]
pub fn leaf(line: &[u8]) -> Hash {
    sha256(&[&[0], line])
}

/// The root over leaves in their order; for none it is the hash of nothing.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            // The left side has the largest power of two that leaves something for the right.
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
}

/// The hash of these parts, one after the other.
pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
