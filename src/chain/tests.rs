//! The formats, against values that other programs computed.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    tree: Tree,
    private_key: String,
    public_key: String,
    blocks: Vec<Expected>,
}

#[derive(Deserialize)]
struct Tree {
    inputs: Vec<String>,
    roots: Vec<String>,
}

#[derive(Deserialize)]
struct Expected {
    sealed_at: String,
    ids: Vec<Uuid>,
    lines: Vec<String>,
    text: String,
    head: String,
    signature: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/sealing/chain.json")).unwrap()
}

/// The blocks of the vectors, sealed with their key.
fn chain() -> Vec<Block> {
    let vectors = vectors();
    let key = SealKey::read(&vectors.private_key).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for it in vectors.blocks {
        let leaves = it.ids.iter().zip(&it.lines).map(|(id, line)| Leaf { id: *id, hash: leaf(line.as_bytes()) });
        let at = OffsetDateTime::parse(&it.sealed_at, &Rfc3339).unwrap();
        blocks.push(Block::seal(leaves.collect(), blocks.last().map(|block| &block.head), at, &key).unwrap());
    }
    blocks
}

#[test]
fn trees_have_the_roots_of_certificate_transparency() {
    let Tree { inputs, roots } = vectors().tree;
    let leaves: Vec<Hash> = inputs.iter().map(|input| leaf(&unhex_all(input).unwrap())).collect();
    for (count, expected) in roots.iter().enumerate() {
        assert_eq!(hex(&root(&leaves[..count])), *expected, "{count} leaves");
    }
}

#[test]
fn a_chain_is_what_other_programs_make_of_it() {
    for (block, expected) in chain().iter().zip(vectors().blocks) {
        assert_eq!(block.head.text(), expected.text);
        assert_eq!(hex(&block.head.hash()), expected.head);
        assert_eq!(hex(&block.signature), expected.signature);
    }
}

#[test]
fn a_block_and_a_checkpoint_read_back_from_their_lines() {
    for block in chain() {
        let line = BlockLine::from(&block).text();
        assert!(!line.contains('\n'));
        let read: BlockLine = serde_json::from_str(&line).unwrap();
        assert_eq!(read.read().as_ref(), Ok(&block));
        let checkpoint = Checkpoint { head: block.head, signature: block.signature };
        assert!(checkpoint.is_signed());
        assert_eq!(Checkpoint::read(&checkpoint.text()).as_ref(), Some(&checkpoint));
    }
}

#[test]
fn a_line_that_does_not_hold_together_is_no_block() {
    let whole = BlockLine::from(&chain()[0]);
    let spoilt = |spoil: fn(&mut BlockMembers)| {
        let mut line = whole.clone();
        spoil(&mut line.block);
        line.read()
    };
    assert_eq!(spoilt(|it| it.leaves.truncate(64)), Err("entries and leaves"));
    assert_eq!(spoilt(|it| it.leaves.truncate(191)), Err("leaves"));
    assert_eq!(spoilt(|it| it.entries.truncate(2)), Err("entries and leaves"));
    assert_eq!(spoilt(|it| it.sealed_at = "noon".into()), Err("sealed_at"));
    assert_eq!(spoilt(|it| it.root = it.root.to_uppercase()), Err("root"));
    assert_eq!(spoilt(|it| it.signature.truncate(126)), Err("signature"));
    assert_eq!(Checkpoint::read("{}"), None);
}

#[test]
fn a_checkpoint_whose_head_is_not_of_what_it_says_is_none() {
    let Block { head, signature, .. } = chain().remove(0);
    let text = Checkpoint { head, signature }.text();
    assert_eq!(Checkpoint::read(&text.replace("\"total\":3", "\"total\":4")), None);
}

#[test]
fn a_signature_is_good_for_its_own_head_and_key_only() {
    let Block { head, signature, .. } = chain().remove(0);
    let mut other = Checkpoint { head: Head { total: 4, ..head.clone() }, signature };
    assert!(!other.is_signed());
    let foreign = SealKey::generate().unwrap().public();
    other.head = Head { public_key: foreign, ..head };
    assert!(!other.is_signed());
}

#[test]
fn a_key_is_read_as_pem_or_base64_and_shows_its_public_half_only() {
    let vectors = vectors();
    let inside: String = vectors.private_key.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [&vectors.private_key, &inside, &format!("  {inside}\n")] {
        let key = SealKey::read(text).unwrap();
        assert_eq!(hex(&key.public()), vectors.public_key);
        assert_eq!(format!("{key:?}"), format!("SealKey(public {})", vectors.public_key));
    }
    for text in ["", "canary", "-----BEGIN PRIVATE KEY-----", &inside[4..]] {
        let told = SealKey::read(text).unwrap_err().to_string();
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn a_fresh_key_reads_back() {
    use secrecy::ExposeSecret as _;
    let key = SealKey::generate().unwrap();
    let again = SealKey::read(key.pem().unwrap().expose_secret()).unwrap();
    assert_eq!(again.public(), key.public());
}

/// The definition of RFC 6962, word for word.
fn by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => merkle::sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            let (left, right) = (by_definition(&leaves[..half]), by_definition(&leaves[half..]));
            merkle::sha256(&[&[1], &left, &right])
        }
    }
}

proptest! {
    #[test]
    fn a_root_is_what_the_definition_says(leaves in vec(any::<[u8; 32]>(), 0..70)) {
        prop_assert_eq!(root(&leaves), by_definition(&leaves));
    }

    #[test]
    fn any_changed_leaf_and_any_exchange_changes_the_root(
        leaves in vec(any::<[u8; 32]>(), 1..70), at in any::<Index>(), other in any::<Index>(), bit in 0..256_usize,
    ) {
        let before = root(&leaves);
        let (at, other) = (at.index(leaves.len()), other.index(leaves.len()));
        let mut changed = leaves.clone();
        changed[at][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(root(&changed), before);
        let mut exchanged = leaves.clone();
        exchanged.swap(at, other);
        prop_assert_eq!(root(&exchanged) == before, leaves[at] == leaves[other]);
        prop_assert_ne!(root(&leaves[..leaves.len() - 1]), before);
    }

    #[test]
    fn any_changed_byte_of_a_line_is_found(
        lines in vec("[ -~]{1,200}", 1..20), which in any::<Index>(), at in any::<Index>(), change in 1..=255_u8,
    ) {
        let key = SealKey::generate().unwrap();
        let found = |lines: &[Vec<u8>]| -> Vec<Leaf> {
            let leaf_of = |(number, line): (usize, &Vec<u8>)| Leaf {
                id: Uuid::from_u128(number as u128), hash: leaf(line),
            };
            lines.iter().enumerate().map(leaf_of).collect()
        };
        let mut lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
        let block = Block::seal(found(&lines), None, OffsetDateTime::UNIX_EPOCH, &key).unwrap();
        let verify = |lines: &[Vec<u8>]| {
            let mut check = check::Check::new(check::Scope::Record, vec![check::Trusted::always(key.public())], vec![]);
            check.block(&block);
            for leaf in found(lines) {
                let Leaf { id, hash } = leaf;
                check.entry(&check::Found { id, hash, events_at: Vec::new(), waits: check::Waits::No });
            }
            check.finish(&[])
        };
        prop_assert_eq!(verify(&lines).status(), check::VERIFIED);
        let which = which.index(lines.len());
        let at = at.index(lines[which].len());
        lines[which][at] ^= change;
        let report = verify(&lines);
        prop_assert_eq!(report.status(), check::Wrong::Changed.status());
        prop_assert!(report.told(check::Wrong::Changed)[0].starts_with(&Uuid::from_u128(which as u128).to_string()));
    }

    #[test]
    fn any_changed_byte_of_a_block_line_is_found(at in any::<Index>(), change in 1..=255_u8) {
        let block = chain().remove(0);
        let mut line = BlockLine::from(&block).text().into_bytes();
        let at = at.index(line.len());
        line[at] ^= change;
        let faults = serde_json::from_slice::<BlockLine>(&line).ok().and_then(|line| line.read().ok()).map(|read| {
            let mut check = check::Check::new(check::Scope::Record, vec![check::Trusted::always(block.head.public_key)], vec![]);
            check.block(&read);
            (check.finish(&[]).count(check::Wrong::Chain), read == block)
        });
        // It does not read as a block, or is found, or says the same in another way.
        prop_assert!(faults.is_none_or(|(faults, same)| faults > 0 || same), "{}", String::from_utf8_lossy(&line));
    }
}
