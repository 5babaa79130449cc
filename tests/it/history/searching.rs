//! Searches: a session of any age, words of a reason.

use std::time::Duration;

use killgate::audit::{Filter, words};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    string::string_regex,
    test_runner::TestRunner,
};
use serde_json::Value;

use super::{aged, exported, ids, listed, on_both_engines, opened};
use crate::{
    audit::book::{NOON, attempt},
    support::gateway::{Engine, Gateway},
};

on_both_engines! {
    a_session_is_found_whatever_its_age,
    a_reason_is_found_by_its_words,
    a_reason_in_any_script_is_found_by_its_words,
    a_reason_that_is_one_long_word_is_recorded_and_found,
    whatever_the_reasons_are_they_are_found_by_the_words_they_have,
}

async fn a_session_is_found_whatever_its_age(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 26).await;
    let rare = gateway.read(&format!("/kills?session_id={}", aged::RARE)).await;
    let items = rare.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", rare.body);
    assert!(items[0]["requested_at"].as_str().unwrap().starts_with("2024-02"), "{}", items[0]);
    // In every month three kills.
    let common = listed(&gateway, "session_id=2222").await;
    assert_eq!(common.len(), 26 * 3);
    assert!(common.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    let (kills, _) = opened(&exported(&gateway, "session_id=2222").await);
    assert_eq!(ids(&kills), common);
    let window = "session_id=2222&since=2024-06-01T00:00:00Z&until=2024-09-01T00:00:00Z";
    assert_eq!(listed(&gateway, window).await.len(), 9);
    assert!(listed(&gateway, "session_id=222").await.is_empty(), "an id is found as a whole");
}

async fn a_reason_in_any_script_is_found_by_its_words(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let reasons = [
        "INC-4711 报表失控，先结束会话",
        "处理INC-4712报表卡死",
        "レポートINC-4713停止",
        "보고서INC-4714 중지",
        "отчётINC-4715 завис",
        "ÉTÉ Straße İstanbul",
    ];
    for (n, reason) in (0..).zip(reasons) {
        let mut one = attempt(NOON + n * Duration::from_secs(1));
        one.kill.reason = Some(reason.into());
        aged::recorded(audit, &one).await;
    }
    for (query, expected) in [
        ("报表", 2),
        ("INC-4712", 1),
        ("inc", 5),
        ("表报", 2),
        ("レポート", 1),
        ("ポート", 1),
        ("보고서", 1),
        ("보고", 0),
        ("ОТЧЁТ 4715", 1),
        ("été strasse", 0),
        ("été STRAßE", 1),
        ("报表 4713", 0),
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let page = gateway.read(&format!("/kills?reason={encoded}")).await;
        assert_eq!(page.body["items"].as_array().unwrap().len(), expected, "{query}: {}", page.body);
    }
}

async fn a_reason_that_is_one_long_word_is_recorded_and_found(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    // As many as a reason has, no two alike, so that nothing of it can be packed: of three bytes and of four.
    let hangul: String = ('\u{ac00}'..'\u{d7a3}').step_by(7).take(1000).collect();
    let cuneiform: String = ('\u{12000}'..='\u{12399}').cycle().take(1000).collect();
    let latin = "x".repeat(1000);
    // And as many words.
    let han: String = ('\u{4e00}'..'\u{9fff}').take(1000).collect();
    for (n, reason) in (0..).zip([&hangul, &cuneiform, &latin, &han]) {
        let mut one = attempt(NOON + n * Duration::from_secs(1));
        one.kill.reason = Some(reason.clone());
        aged::recorded(audit, &one).await;
        let beginning: String = reason.chars().take(255).collect();
        let filter = Filter { reason: words(&beginning), ..Filter::default() };
        let found = audit.page(&filter, 10).await.unwrap().items;
        assert_eq!(found.iter().map(|kill| kill.id).collect::<Vec<_>>(), [one.kill.id], "{beginning}");
    }
}

/// Reasons and queries from few characters, so that many of them meet: of several scripts and cases, with what stands between
/// words, what lengthens, joins or changes its case in an odd way.
async fn whatever_the_reasons_are_they_are_found_by_the_words_they_have(engine: Engine) {
    const CHARACTERS: &str =
        "[aAbBßéÉİıſ\u{212a}ǅ12²Ⅷ①Ａ１报表ーヶかカ々〇й보ก่क्\u{301}\u{1F980} _.,'\"*:^()|&!<>\\\\-]";
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let mut runner = TestRunner::deterministic();
    let mut any = |most: usize| {
        let text = string_regex(&format!("{CHARACTERS}{{1,{most}}}")).unwrap();
        text.new_tree(&mut runner).unwrap().current()
    };
    let mut recorded = Vec::new();
    for n in 0..120 {
        let mut one = attempt(NOON + n * Duration::from_secs(1));
        one.kill.reason = Some(any(12));
        let kill = aged::recorded(audit, &one).await;
        recorded.push((kill.id, words(one.kill.reason.as_deref().unwrap()), one.kill.reason));
    }
    let mut hits = 0;
    for _ in 0..300 {
        let (query, mut expected) = (any(3), Vec::new());
        let wanted = words(&query);
        if wanted.is_empty() {
            continue;
        }
        for (id, has, _) in recorded.iter().rev() {
            expected.extend(wanted.iter().all(|word| has.contains(word)).then_some(*id));
        }
        let filter = Filter { reason: wanted, ..Filter::default() };
        let found = audit.page(&filter, 500).await.unwrap().items;
        let found: Vec<_> = found.iter().map(|kill| kill.id).collect();
        assert_eq!(found, expected, "{query:?} among {recorded:?}");
        hits += found.len();
    }
    assert!(hits > 300, "{hits}");
}

async fn a_reason_is_found_by_its_words(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let reasons = [
        "INC-4711 runaway report",
        "runaway report, see (INC-4711).",
        "INC-47110 runaway",
        "Straße gesperrt: Bestellung läuft über",
        "the nightly job; again",
    ];
    for (n, reason) in (0..).zip(reasons) {
        let mut one = attempt(NOON + n * Duration::from_secs(1));
        one.kill.reason = Some(reason.into());
        aged::recorded(audit, &one).await;
    }
    let found = async |query: &str| {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let page = gateway.read(&format!("/kills?reason={query}")).await;
        let items = page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.body)).clone();
        let number = |kill: &Value| reasons.iter().position(|reason| kill["reason"] == *reason).unwrap();
        items.iter().rev().map(number).collect::<Vec<_>>()
    };
    assert_eq!(found("INC-4711").await, [0, 1]);
    assert_eq!(found("inc-4711").await, [0, 1]);
    assert_eq!(found("4711 inc").await, [0, 1], "in any order");
    assert_eq!(found("report runaway").await, [0, 1]);
    assert_eq!(found("runaway").await, [0, 1, 2]);
    assert_eq!(found("471").await, [] as [usize; 0], "a part of a word is another word");
    assert_eq!(found("run").await, [] as [usize; 0]);
    assert_eq!(found("runaway nightly").await, [] as [usize; 0], "all of them");
    assert_eq!(found("bestellung LÄUFT").await, [3]);
    assert_eq!(found("the").await, [4], "no word is too common");
    assert_eq!(found("' OR 1=1 --").await, [] as [usize; 0]);
    for query in ["--", "night*"] {
        let nothing = gateway.read(&format!("/kills?reason={query}")).await;
        assert_eq!((nothing.status.as_u16(), &nothing.body["field"]), (422, &"reason".into()), "{query}");
    }
}
