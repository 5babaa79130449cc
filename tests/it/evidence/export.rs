//! An export is checked with nothing but the files.

use std::{fmt::Write as _, path::PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use killgate::{
    chain::{
        BlockLine, Checkpoint, SealKey,
        check::{NOTHING_SEALED, Report, Trusted, VERIFIED, Wrong},
        hex,
    },
    evidence::{WhichPart, verify_export},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Sealed, all, assert_only, assert_told, on_both_engines};
use crate::audit::book::{Book, NOON};

on_both_engines! {
    an_export_verifies_by_itself,
    whatever_was_changed_in_an_export_is_found,
    an_export_that_was_cut_off_is_found,
    a_part_of_the_record_verifies_as_a_part,
    a_forged_kill_in_an_export_is_found,
    a_manifest_of_other_kills_is_found,
    an_export_without_blocks_is_never_verified,
    an_export_without_its_newest_block_is_found_by_a_checkpoint,
}

/// An export, as its lines.
pub(super) struct Export {
    lines: Vec<String>,
    blocks: Value,
    filters: Value,
    /// Whether a part was asked for.
    is_wanted: bool,
    folder: TempDir,
}

impl Export {
    pub(super) async fn of(sealed: &Sealed<'_>) -> Self {
        let mut lines: Vec<String> = all(sealed.book).await.iter().map(killgate::audit::Line::text).collect();
        let blocks = sealed.book.audit.blocks(0, 100).await.unwrap();
        lines.extend(blocks.iter().map(|block| BlockLine::from(block).text()));
        let head = hex(&blocks.last().unwrap().head.hash());
        let blocks = json!({ "first": 1, "last": blocks.len(), "head": head });
        Self { lines, blocks, filters: json!({}), is_wanted: false, folder: tempfile::tempdir().unwrap() }
    }

    /// The file, with the manifest that a writer of these lines would add.
    fn file(&self) -> PathBuf {
        let mut text = String::new();
        for line in &self.lines {
            writeln!(text, "{line}").unwrap();
        }
        let kills = self.lines.iter().filter(|line| !line.starts_with("{\"block\"")).count();
        let place = |line: Option<&String>| {
            let kill: Value = serde_json::from_str(line?).ok()?;
            let (id, requested_at) = (kill.get("id")?, kill.get("requested_at")?);
            Some(json!({ "id": id, "requested_at": requested_at }))
        };
        let sha256 = hex(digest(&SHA256, text.as_bytes()).as_ref());
        let manifest = json!({
            "format": 1, "kills": kills, "first": place(self.lines.first()), "last": place(self.lines[..kills].last()), "filters": self.filters, "sha256": sha256, "blocks": self.blocks,
        });
        writeln!(text, "{}", json!({ "manifest": manifest })).unwrap();
        let file = self.folder.path().join("export.ndjson");
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(super) fn verify(&self, key: &SealKey, checkpoints: Vec<Checkpoint>) -> Report {
        let of = if self.is_wanted { WhichPart::Some } else { WhichPart::All };
        verify_export(&self.file(), vec![Trusted::always(key.public())], checkpoints, of).unwrap()
    }
}

async fn an_export_verifies_by_itself(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let export = Export::of(&sealed).await;
    let report = export.verify(&sealed.key, sealed.checkpoints().await);
    assert_eq!((report.status(), report.verified, report.blocks), (VERIFIED, 10, 3), "{report}");
    let foreign = export.verify(&SealKey::generate().unwrap(), vec![]);
    assert_only(&foreign, &[Wrong::Chain]);
}

async fn whatever_was_changed_in_an_export_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    // The manifest is made anew each time: it protects from accidents, the blocks from intent.
    let changed = |mut export: Export, change: fn(&mut Vec<String>)| {
        change(&mut export.lines);
        export.verify(&sealed.key, vec![])
    };
    let export = async || Export::of(&sealed).await;
    let report = changed(export().await, |lines| lines[2] = lines[2].replace("alice", "bob"));
    assert_only(&report, &[Wrong::Changed]);
    let report = changed(export().await, |lines| drop(lines.remove(2)));
    assert_only(&report, &[Wrong::Missing]);
    let report = changed(export().await, |lines| lines[2] = lines[2].replace("\"id\":\"019c", "\"id\":\"019b"));
    assert_only(&report, &[Wrong::Added, Wrong::Missing]);
    let report = changed(export().await, |lines| lines[2].insert(1, ' '));
    assert_only(&report, &[Wrong::Changed]);
    let report = changed(export().await, |lines| lines[2] = "{}".into());
    assert_told(&report, Wrong::Changed, "line 3 is no kill");
    let report = changed(export().await, |lines| drop(lines.remove(11)));
    assert_told(&report, Wrong::Chain, "block 2 is missing");
    let report = changed(export().await, |lines| lines[10] = lines[10].replacen("\"total\":4", "\"total\":5", 1));
    assert_told(&report, Wrong::Chain, "block 1: its signature is wrong");
}

async fn an_export_that_was_cut_off_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let export = Export::of(&sealed).await;
    let file = export.file();
    let whole = std::fs::read_to_string(&file).unwrap();
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        verify_export(&file, vec![Trusted::always(sealed.key.public())], vec![], WhichPart::All).unwrap()
    };
    let before_the_manifest = whole.trim_end().rfind('\n').unwrap() + 1;
    assert_told(&verify(&whole[..before_the_manifest]), Wrong::Missing, "cut off before its manifest");
    assert_told(&verify(&whole[..before_the_manifest - 20]), Wrong::Missing, "cut off in the middle of a line");
    let middle = &whole[..whole.len() / 3];
    assert_eq!(verify(middle).status() & Wrong::Missing.status(), Wrong::Missing.status());
    assert_eq!(verify("").status(), Wrong::Missing.status());
    let (first, rest) = whole.split_once('\n').unwrap();
    let shorter = verify(rest);
    assert_told(&shorter, Wrong::Changed, "sha256");
    assert_told(&shorter, Wrong::Missing, "the file has 9 kills");
    let id: Value = serde_json::from_str(first).unwrap();
    assert_told(&shorter, Wrong::Missing, id["id"].as_str().unwrap());
}

async fn a_part_of_the_record_verifies_as_a_part(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let mut export = Export::of(&sealed).await;
    export.filters = json!({ "caller": "bot", "status": null });
    export.lines.drain(0..7);
    let unasked = export.verify(&sealed.key, vec![]);
    assert_only(&unasked, &[Wrong::Part]);
    let told = unasked.to_string();
    assert!(
        told.starts_with(
            "a part of the record: the file says that it has only the kills that pass {\"caller\":\"bot\"}\n"
        ),
        "{told}"
    );
    for filters in [json!({ "zzz": 1 }), json!({ "caller": 1 }), json!({ "since": "noon" })] {
        let report = Export { filters, ..Export::of(&sealed).await }.verify(&sealed.key, vec![]);
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, "the manifest cannot be read");
    }
    export.is_wanted = true;
    let report = export.verify(&sealed.key, vec![]);
    assert_eq!((report.status(), report.verified), (VERIFIED, 3), "{report}");
    assert!(report.notes.contains(&"partial: 7 sealed entries are not in it".to_owned()), "{report}");
}

async fn an_export_without_blocks_is_never_verified(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    let mut export = Export::of(&sealed).await;
    export.lines.truncate(10);
    export.blocks = Value::Null;
    let report = export.verify(&sealed.key, vec![]);
    assert_eq!((report.status(), report.verified), (NOTHING_SEALED, 0), "{report}");
    let report = export.verify(&sealed.key, checkpoints.clone());
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_told(&report, Wrong::Checkpoint, "blocks 1 to 3 are missing");
    export.filters = json!({ "caller": "bot" });
    export.is_wanted = true;
    assert_eq!(export.verify(&sealed.key, checkpoints).status(), NOTHING_SEALED);
}

async fn an_export_without_its_newest_block_is_found_by_a_checkpoint(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    let mut export = Export::of(&sealed).await;
    // The newest two kills are first in the file, and their block is the last line.
    export.lines.pop();
    export.lines.drain(..2);
    export.blocks = json!({ "first": 1, "last": 2, "head": hex(&checkpoints[1].head.hash()) });
    assert_eq!(export.verify(&sealed.key, vec![]).status(), VERIFIED, "from inside nothing is to be seen");
    let report = export.verify(&sealed.key, checkpoints);
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_told(&report, Wrong::Checkpoint, "block 3 is missing");
}

async fn a_forged_kill_in_an_export_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let forged = async |change: fn(&mut Value)| {
        let mut export = Export::of(&sealed).await;
        let mut line = all(book).await.remove(9);
        line.id = killgate::clock::id_at(NOON - std::time::Duration::from_hours(48));
        let mut kill = serde_json::to_value(&line).unwrap();
        change(&mut kill);
        let line: killgate::audit::Line = serde_json::from_value(kill).unwrap();
        export.lines.insert(10, line.text());
        export.verify(&sealed.key, vec![])
    };
    assert_only(&forged(|_| {}).await, &[Wrong::Added]);
    let open = |kill: &mut Value| {
        kill["status"] = "accepted".into();
        kill["events"][2]["at"] = "2999-01-01T00:00:00Z".into();
    };
    assert_only(&forged(open).await, &[Wrong::Added]);
    assert_only(&forged(|kill| kill["events"] = json!([])).await, &[Wrong::Changed]);
    assert_only(&forged(|kill| kill["events"][1]["at"] = "noon".into()).await, &[Wrong::Changed]);
    assert_only(&forged(|kill| kill["status"] = "done".into()).await, &[Wrong::Changed]);
}

async fn a_manifest_of_other_kills_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let export = Export::of(&sealed).await;
    let file = export.file();
    let changed = std::fs::read_to_string(&file).unwrap().replace("\"last\":{\"id\":\"", "\"last\":{\"id\":\"0");
    let changed = changed.replacen("\"last\":{\"id\":\"00", "\"last\":{\"id\":\"1", 1);
    std::fs::write(&file, changed).unwrap();
    let report = verify_export(&file, vec![Trusted::always(sealed.key.public())], vec![], WhichPart::All).unwrap();
    assert_only(&report, &[Wrong::Changed]);
    assert_told(&report, Wrong::Changed, "the first and the last kill are not those");
}
