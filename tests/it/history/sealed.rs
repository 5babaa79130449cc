//! An export carries the blocks that hold its kills, and is verified by itself.

use std::{fs, time::Duration};

use killgate::{
    audit::{Attempt, Audit, Sealing},
    chain::{
        BlockLine, SealKey,
        check::{Trusted, Wrong},
    },
    clock::Clock,
    domain::Outcome,
    evidence::{WhichPart, verify_export},
};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::task::block_in_place;

use super::{aged, exported, ids, on_both_engines, opened};
use crate::{
    audit::book::{answered, attempt},
    support::gateway::{Engine, Gateway},
};

on_both_engines! {
    a_whole_export_is_verified_with_no_more_than_the_key,
    a_part_carries_the_blocks_that_hold_its_kills,
    an_export_in_which_a_month_goes_missing_breaks,
}

async fn seal(audit: &Audit, key: &SealKey, now: OffsetDateTime, most: u32) -> usize {
    audit.begin_sealing().await.unwrap();
    while audit.index().await.unwrap() > 0 {}
    let mut blocks = 0;
    while let Sealing::Sealed { .. } = audit.seal(key, now, most).await.unwrap() {
        blocks += 1;
    }
    blocks
}

/// What `killgate audit verify --export` finds: its status, and how many entries are as they were sealed.
fn verified(file: &str, key: &SealKey) -> (u8, u64, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kills.ndjson");
    let report = block_in_place(|| {
        fs::write(&path, file).unwrap();
        let of = if file.contains("\"filters\":{}") { WhichPart::All } else { WhichPart::Some };
        verify_export(&path, vec![Trusted::always(key.public())], vec![], of).unwrap()
    });
    (report.status(), report.verified, report.to_string())
}

fn blocks(file: &str) -> Vec<BlockLine> {
    file.lines()
        .filter(|line| line.starts_with("{\"block\":"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn a_whole_export_is_verified_with_no_more_than_the_key(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let key = SealKey::generate().unwrap();
    assert_eq!(opened(&exported(&gateway, "").await).1["blocks"], Value::Null, "nothing is sealed yet");
    aged::fill(audit, 30).await;
    // Three of four kills of a month rest; the others are still worked on, and should not be after so long.
    let sealed = seal(audit, &key, Clock::system().now(), 20).await;
    assert_eq!(sealed, 5);
    let file = exported(&gateway, "").await;
    let (kills, manifest) = opened(&file);
    assert_eq!(kills.len(), 120);
    let carried = blocks(&file);
    assert_eq!(carried.len(), sealed);
    let last = carried.last().unwrap().read().unwrap();
    assert_eq!(manifest["blocks"]["first"], 1);
    assert_eq!(manifest["blocks"]["last"], 5);
    assert_eq!(manifest["blocks"]["head"], killgate::chain::hex(&last.head.hash()).as_str());
    let (status, verified_kills, told) = verified(&file, &key);
    assert_eq!((status, verified_kills), (Wrong::Added.status(), 90), "{told}");

    // And what was tampered with is not.
    let (status, _, told) = verified(&file.replacen("runaway", "harmless", 1), &key);
    assert!(status != 0 && told.contains("is not as it was sealed"), "{told}");
    let first = file.lines().next().unwrap();
    let (status, _, told) = verified(&file.replacen(&format!("{first}\n"), "", 1), &key);
    assert!(status != 0 && told.contains("is gone"), "{told}");
    let (status, _, told) = verified(&file[..file.rfind("{\"manifest\"").unwrap()], &key);
    assert!(status != 0 && told.contains("cut off"), "{told}");
    let (status, _, told) = verified(&file, &SealKey::generate().unwrap());
    assert!(status != 0, "{told}");
}

async fn a_part_carries_the_blocks_that_hold_its_kills(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let key = SealKey::generate().unwrap();
    // A block for each kill.
    for n in 0..12 {
        let mut one = attempt(aged::months_ago(n));
        one.kill.caller = if n % 4 == 1 { "carol" } else { "dave" }.into();
        settle(audit, &one).await;
        assert_eq!(seal(audit, &key, Clock::system().now(), 10).await, 1);
    }
    for (query, expected) in
        [("caller=carol", vec![2, 6, 10]), ("caller=dave&until=2025-09-01T00:00:00Z", vec![8, 9, 11, 12])]
    {
        let file = exported(&gateway, query).await;
        let (kills, manifest) = opened(&file);
        let carried: Vec<i64> = blocks(&file).iter().map(|line| line.block.number).collect();
        assert_eq!(carried, expected, "{query}");
        assert_eq!(carried.len(), ids(&kills).len());
        assert_eq!(manifest["blocks"]["first"], expected[0]);
        let (status, verified_kills, told) = verified(&file, &key);
        assert_eq!((status, verified_kills), (0, kills.len() as u64), "{told}");
        let (status, _, told) = verified(&file.replacen("runaway", "harmless", 1), &key);
        assert!(status != 0 && told.contains("is not as it was sealed"), "{told}");
    }
    // A table has no room for them and names them.
    let path = "/kills/export/manifest?format=csv&caller=carol";
    let manifest = gateway.client().get(path, &Gateway::token("auditor", "kills:export")).await.body;
    assert_eq!((&manifest["blocks"]["first"], &manifest["blocks"]["last"]), (&2.into(), &10.into()), "{manifest}");
}

async fn settle(audit: &Audit, attempt: &Attempt) {
    let kill = aged::recorded(audit, attempt).await;
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
    let at = kill.requested_at + Duration::from_secs(1);
    assert_eq!(audit.conclude(&done, at, "answered", None).await, Ok(true));
}

/// A month that its owner removes while it is read is in the file in part, or not at all.
async fn an_export_in_which_a_month_goes_missing_breaks(engine: Engine) {
    use killgate::{
        app::audit_settings,
        audit::Filter,
        history::{Export, Format, Wanted},
    };
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    for n in 0..3 {
        settle(audit, &attempt(aged::months_ago(n))).await;
    }
    let export = Export::begin(audit.clone(), Wanted::default(), Filter::default(), Format::Ndjson.into());
    let mut export = export.await.unwrap();
    let month = aged::months_ago(2).date().replace_day(1).unwrap();
    let removed = Audit::remove_month(&audit_settings(&gateway.config), month, "older than two months").await;
    // A file holds all months and is kept whole.
    assert_eq!(removed.is_ok(), engine == Engine::Postgres, "{removed:?}");
    let mut file = Vec::new();
    let ended = loop {
        match export.next().await {
            Ok(Some(piece)) => file.extend(piece),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!((ended.is_ok(), export.manifest().is_some()), (engine == Engine::Sqlite, engine == Engine::Sqlite));
    let whole = String::from_utf8(file).unwrap().contains("{\"manifest\"");
    assert_eq!(whole, engine == Engine::Sqlite);
    // The next one has the removal instead.
    let file = exported(&gateway, "").await;
    let (removal, kills) = (file.contains("{\"removal\":"), file.matches("\"gateway\":\"here\",\"events\"").count());
    assert_eq!((removal, kills), if engine == Engine::Postgres { (true, 2) } else { (false, 3) });
}
