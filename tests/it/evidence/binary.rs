//! What `killgate audit` tells, and the status it ends with.

use std::path::Path;

use killgate::{
    audit::{Line, Settings, Verification},
    chain::{BlockLine, SealKey},
};
use secrecy::ExposeSecret as _;

use super::{Sealed, all, on_both_engines};
use crate::{
    audit::book::Book,
    safety::process::{Ended, Process},
};

on_both_engines! {
    the_exit_status_says_what_is_wrong,
    what_cannot_be_checked_is_not_called_verified,
    a_file_of_checkpoints_that_has_none_is_no_evidence,
    a_key_may_be_good_up_to_a_block_only,
}

/// Runs `killgate audit …` in that directory on that record.
async fn audit(arguments: &[&str], directory: &Path, settings: &Settings) -> Ended {
    let url = match &settings.database_url {
        Some(url) => url.expose_secret().to_owned(),
        None => format!("sqlite:{}", settings.sqlite_path.display()),
    };
    let arguments: Vec<&str> = std::iter::once("audit").chain(arguments.iter().copied()).collect();
    Process::start(&arguments, directory, &[("DATABASE_URL", &url)]).ended().await
}

async fn the_exit_status_says_what_is_wrong(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let folder = tempfile::tempdir().unwrap();
    let checkpoints: Vec<String> = sealed.checkpoints().await.iter().map(|it| it.text() + "\n").collect();
    std::fs::write(folder.path().join("checkpoints"), checkpoints.concat()).unwrap();
    let public = killgate::chain::hex(&sealed.key.public());
    let verify = async || {
        audit(&["verify", "--key", &public, "--checkpoints", "checkpoints"], folder.path(), &book.settings).await
    };
    let told = async |status: i32, words: &str| {
        let ended = verify().await;
        assert_eq!(ended.status.code(), Some(status), "{} {}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(words), "{words} in {}", ended.stdout);
    };
    assert_eq!(book.audit.last_verification().await, Ok(None));
    told(0, "verified: 10 entries in 3 blocks, 3 checkpoints").await;
    // Word of it stays.
    let noted = async || {
        let Verification { status, blocks, verified, .. } = book.audit.last_verification().await.unwrap().unwrap();
        (status, blocks, verified)
    };
    assert_eq!(noted().await, (0, 3, 10));
    for change in ["UPDATE verifications SET status = 0", "DELETE FROM verifications"] {
        let refused = book.raw(change).await.unwrap_err();
        assert!(refused.contains("append-only"), "{refused}");
    }
    let change = book.body("asked.caller", "\"mallory\"");
    sealed.tamper(&format!("UPDATE kill_log SET {change} WHERE seq = 1 AND kill_id = {}", sealed.id(0))).await;
    told(4, &format!("CHANGED: {} is not as it was sealed in block 1", sealed.kills[0])).await;
    for (table, id) in [("kill_log", "kill_id"), ("kill_index_sessions", "kill_id"), ("kill_index", "id")] {
        sealed.tamper(&format!("DELETE FROM {table} WHERE {id} = {}", sealed.id(0))).await;
    }
    told(8, &format!("MISSING: {} of block 1 is gone", sealed.kills[0])).await;
    let kill = super::settled(book, 60).await;
    book.audit.index().await.unwrap();
    sealed.tamper("DELETE FROM unsealed").await;
    told(8 + 16, &format!("ADDED: {} is in no block", kill.id)).await;
    sealed.tamper("UPDATE blocks SET total = total + 1 WHERE number = 3").await;
    told(8 + 16 + 32 + 64, "CHAIN: block 3: its total is wrong").await;
    sealed.tamper("DELETE FROM blocks").await;
    told(16 + 64, "CHECKPOINT: blocks 1 to 3 are missing, the last").await;
    assert_eq!(noted().await, (16 + 64, 0, 0));
}

async fn what_cannot_be_checked_is_not_called_verified(book: &Book) {
    let folder = tempfile::tempdir().unwrap();
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let ended = audit(&["verify", "--key", key], folder.path(), &book.settings).await;
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stdout);
    for (arguments, status, words) in [
        (&["verify"][..], 1, "--key: required where no seal.key is set"),
        (&["verify", "--key", "canary"], 2, "64 hexadecimal digits"),
        (&["verify", "--export", "nowhere"], 2, "--key"),
        (&["verify", "--export", "nowhere", "--key", key], 1, "nowhere"),
        (&["verify", "--key", key, "--checkpoints", "nowhere"], 1, "nowhere"),
    ] {
        let ended = audit(arguments, folder.path(), &book.settings).await;
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    let gone = Settings { sqlite_path: folder.path().join("gone.db"), ..Settings::default() };
    let ended = audit(&["verify", "--key", key], folder.path(), &gone).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(!folder.path().join("gone.db").exists(), "nothing is made by looking");
}

async fn a_key_may_be_good_up_to_a_block_only(book: &Book) {
    let mut sealed = Sealed::fill(book).await;
    let old = killgate::chain::hex(&sealed.key.public());
    // A file as others have one, and outside checkpoints, are held against the same keys.
    let last = book.audit.last_head().await.unwrap().unwrap().head.number;
    sealed.key = SealKey::generate().unwrap();
    super::settled(book, 60).await;
    sealed.seal().await;
    let new = killgate::chain::hex(&sealed.key.public());
    let folder = tempfile::tempdir().unwrap();
    let checkpoints: Vec<String> = sealed.checkpoints().await.iter().map(|it| it.text() + "\n").collect();
    std::fs::write(folder.path().join("checkpoints"), checkpoints.concat()).unwrap();
    let mut export: Vec<String> = all(book).await.iter().map(Line::text).collect();
    export.extend(book.audit.blocks(0, 10).await.unwrap().iter().map(|block| BlockLine::from(block).text()));
    std::fs::write(folder.path().join("export"), export.join("\n") + "\n").unwrap();
    for (keys, status, words) in [
        (
            &[format!("{old}:..{last}"), new.clone()][..],
            0,
            "verified: 11 entries in 4 blocks, 4 checkpoints".to_owned(),
        ),
        (&[old.clone(), format!("{new}:..{}", last + 1)], 0, "verified: 11 entries".to_owned()),
        (
            &[format!("{old}:..{}", last - 1), new.clone()],
            32 + 64,
            format!("CHAIN: block {last}: it is signed with a key that is good up to block {} only, {old}", last - 1),
        ),
        (
            &[format!("{old}:..0"), new.clone()],
            32 + 64,
            format!(
                "CHECKPOINT: the checkpoint of block 1 is signed with a key that is good up to block 0 only, {old}"
            ),
        ),
        // Whoever says twice how long a key is good means the longer time.
        (&[format!("{old}:..1"), format!("{old}:..{last}"), new.clone()], 0, "verified: 11 entries".to_owned()),
        (&[format!("{old}:..{}", last + 1)], 32 + 64, format!("signed with another key, {new}")),
    ] {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
        let ended =
            audit(&[&["verify", "--checkpoints", "checkpoints"], &keys[..]].concat(), folder.path(), &book.settings)
                .await;
        assert_eq!(ended.status.code(), Some(status), "{keys:?}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(&words), "{words} in {}", ended.stdout);
        let of_file = [&["verify", "--export", "export", "--checkpoints", "checkpoints"], &keys[..]].concat();
        let ended = audit(&of_file, folder.path(), &book.settings).await;
        // The file has no manifest, whatever the keys.
        assert_eq!(ended.status.code(), Some(8 | status), "{keys:?}: {}{}", ended.stdout, ended.stderr);
    }
    for bad in [
        format!("{old}:"),
        format!("{old}:.."),
        format!("{old}:..-1"),
        format!("{old}:..x"),
        format!("{old}..3"),
        format!("{old}:3.."),
    ] {
        let ended = audit(&["verify", "--key", &bad], folder.path(), &book.settings).await;
        assert_eq!(ended.status.code(), Some(2), "{bad}: {}", ended.stderr);
        assert!(ended.stderr.contains("KEY:..250"), "{bad}: {}", ended.stderr);
    }
}

async fn a_file_of_checkpoints_that_has_none_is_no_evidence(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let folder = tempfile::tempdir().unwrap();
    let public = killgate::chain::hex(&sealed.key.public());
    let verify = async |file: &str| {
        std::fs::write(folder.path().join("checkpoints"), file).unwrap();
        audit(&["verify", "--key", &public, "--checkpoints", "checkpoints"], folder.path(), &book.settings).await
    };
    for file in ["", "\n\n", "nonsense\n"] {
        let ended = verify(file).await;
        assert_eq!(ended.status.code(), Some(1), "{file}: {}", ended.stdout);
        assert!(ended.stderr.contains("there is no checkpoint in it"), "{}", ended.stderr);
    }
    let [one, two, three] = sealed.checkpoints().await.try_into().map(|all: [_; 3]| all.map(|it| it.text())).unwrap();
    let ended = verify(&format!("{one}\n{two} \nnonsense\n{three}\n")).await;
    assert_eq!(ended.status.code(), Some(64), "{}", ended.stdout);
    assert!(ended.stdout.contains("CHECKPOINT: 1 lines of the file are no checkpoints, the first is line 3"));
    let ended = verify(&format!("{one}\n{two}\n{}", &three[..90])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
}

#[tokio::test]
async fn an_export_is_checked_without_configuration_or_database() {
    let book = Book::on_sqlite().await;
    let sealed = Sealed::fill(&book).await;
    let folder = tempfile::tempdir().unwrap();
    let mut lines: Vec<String> = all(&book).await.iter().map(Line::text).collect();
    lines.extend(book.audit.blocks(0, 10).await.unwrap().iter().map(|block| BlockLine::from(block).text()));
    std::fs::write(folder.path().join("export"), lines.join("\n") + "\n").unwrap();
    // A configuration that cannot be read does not matter.
    std::fs::write(folder.path().join("killgate.toml"), "broken").unwrap();
    let public = killgate::chain::hex(&sealed.key.public());
    let arguments = ["audit", "verify", "--export", "export", "--key", &public];
    let ended = Process::start(&arguments, folder.path(), &[]).ended().await;
    assert_eq!(ended.status.code(), Some(8), "{} {}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("MISSING: the file was cut off before its manifest"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_fresh_key_goes_to_standard_output_and_its_public_half_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let ended = Process::start(&["audit", "keygen"], folder.path(), &[]).ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let key = SealKey::read(&ended.stdout).unwrap();
    assert_eq!(ended.stderr, format!("public key: {}\n", killgate::chain::hex(&key.public())));
}

#[tokio::test]
async fn a_month_is_removed_on_postgres_and_not_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["remove-month", "2026-03", "--reason", "kept long enough"];
    let book = Book::on_postgres().await;
    let sealed = Sealed::fill(&book).await;
    let ended = audit(&arguments, folder.path(), &book.settings).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(ended.stdout, "removed 2026-03 with 10 kills; its record stays\n");
    assert_eq!(sealed.verify().await.status(), 0);

    let file = Book::on_sqlite().await;
    let ended = audit(&arguments, folder.path(), &file.settings).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("an SQLite file holds all months"), "{}", ended.stderr);
    let ended = audit(&["remove-month", "2026-03", "--reason", "x\u{1b}[2J"], folder.path(), &book.settings).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("--reason: must not contain control or format characters"), "{}", ended.stderr);
    let ended = audit(&["remove-month", "2026-13", "--reason", "x"], folder.path(), &book.settings).await;
    assert_eq!(ended.status.code(), Some(2));
}
