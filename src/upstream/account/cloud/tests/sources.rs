//! Accounts whose keys end and come from a metadata service or a security token service.

use std::{cell::Cell, sync::Arc};

use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::upstream::cloud::Fields;

/// What one account says of itself, as a configuration has it.
struct Table {
    toml: toml::Table,
    near: Url,
}

impl Fields for Table {
    fn has(&self, name: &str) -> bool {
        self.toml.contains_key(name)
    }

    fn know(&mut self, _: &[&'static str]) {}

    fn require(&self, names: &[&str]) {
        assert!(names.iter().all(|name| self.has(name)), "{names:?}");
    }

    fn problem(&self, name: &str, message: &str) {
        panic!("{name}: {message}");
    }

    fn problem_here(&self, message: &str) {
        panic!("{message}");
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.toml.get(name)?.as_str().map(str::to_owned)
    }

    fn checked(&mut self, name: &'static str, _: &str, check: fn(&str) -> bool) -> Option<String> {
        self.text(name).filter(|text| check(text))
    }

    fn number(&mut self, name: &'static str, _: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.toml.get(name)?.as_integer()?.try_into().ok()
    }

    fn metadata(&mut self, _: &'static str) -> Option<Url> {
        Some(self.near.clone())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&mut self, name: &'static str) -> Option<secrecy::SecretString> {
        self.text(name).map(Into::into)
    }

    fn table(&mut self, name: &'static str, read: &mut dyn FnMut(&mut dyn Fields)) {
        if let Some(toml::Value::Table(toml)) = self.toml.get(name).cloned() {
            read(&mut Self { toml, near: self.near.clone() });
        }
    }
}

/// An account whose part of the configuration says that; `near` in it is the peer.
fn account_of(peer: &Peer, cloud: &'static dyn Cloud, toml: &str, clock: &Clock) -> CloudAccount {
    let toml = format!("project_id = '{PROJECT}'\n{toml}").parse().unwrap();
    let identity = cloud.identity(&mut Table { toml, near: peer.url.clone() }).unwrap();
    account(peer, cloud, identity.credentials, clock)
}

const AGENCY: &str = "keys = { from = 'ecs-agency', endpoint = 'near' }";
const ROLE: &str = "keys = { from = 'cvm-role', role = 'r', endpoint = 'near' }";
const KEYS: &str = "GET /prefix/openstack/latest/securitykey ";
const TOKEN: &str = "PUT /prefix/meta-data/latest/api/token ";
const CALL: &str = "POST /prefix/v3/";

/// Keys number `number`, which end then.
fn keys_until(number: usize, end: OffsetDateTime) -> String {
    let end = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    let credential = format!(
        r#""access":"AK-canary-{number}","secret":"SK-canary-{number}","securitytoken":"ST-canary-{number}","expires_at":"{end}""#
    );
    http(200, "", &format!(r#"{{"credential":{{{credential}}}}}"#))
}

fn hour() -> Span {
    Span::hours(1)
}

/// The keys that calls went out with, in order.
fn used(peer: &Peer) -> Vec<String> {
    let seen = peer.seen.borrow();
    let calls = seen.iter().filter(|request| request.starts_with(CALL));
    calls.map(|call| call.split("Access=").nth(1).unwrap().split(',').next().unwrap().to_owned()).collect()
}

async fn quiet(account: &CloudAccount) {
    account.renewed.as_ref().unwrap().is_quiet().await;
}

/// A metadata service that gives other keys each time, good for an hour from noon and then from their asking on.
async fn machine(clock: &Clock) -> Peer {
    let (clock, count) = (clock.clone(), Cell::new(0));
    Peer::answering(move |_, request| match request.split(' ').next().unwrap() {
        "PUT" => http(200, "", "metadata-token-canary"),
        "GET" => {
            count.set(count.get() + 1);
            keys_until(count.get(), clock.now() + hour())
        }
        _ => http(200, "", "{}"),
    })
    .await
}

#[actix_web::test]
async fn many_who_wait_meet_one_asking_and_keys_are_renewed_ahead_of_their_end_while_nobody_waits() {
    let clock = Clock::manual(NOON);
    let peer = machine(&clock).await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    let call = kill();
    let answers = join_all((0..50).map(|_| send(&account, &call))).await;
    assert!(answers.into_iter().all(|(_, answer)| status(answer) == 200));
    assert_eq!((peer.count(TOKEN), peer.count(KEYS), peer.count(CALL)), (1, 1, 50));
    let asked = peer.seen.borrow()[1].clone();
    assert!(asked.contains("X-Metadata-Token: metadata-token-canary\r\n"), "{asked}");
    assert!(used(&peer).iter().all(|key| key == "AK-canary-1"));

    // In the last tenth of their life: the call goes with the old ones, and others are asked for.
    clock.set(NOON + hour() - Span::minutes(6));
    join_all((0..50).map(|_| send(&account, &call))).await;
    quiet(&account).await;
    assert_eq!((peer.count(KEYS), peer.count(CALL)), (2, 100));
    send(&account, &call).await.1.unwrap();
    assert_eq!((peer.count(KEYS), used(&peer).last().unwrap().as_str()), (2, "AK-canary-2"));
    // Of both what is under way may come back.
    let clean = account.redactor().clean("SK-canary-1 ST-canary-1 SK-canary-2 ST-canary-2");
    assert!(!clean.contains("canary"), "{clean}");
}

#[actix_web::test]
async fn a_long_lived_key_is_renewed_as_long_ahead_as_the_vendor_does() {
    let clock = Clock::manual(NOON);
    let end = NOON + Span::days(1);
    let peer = Peer::answering(move |_, request| match request.split(' ').next().unwrap() {
        "PUT" => http(404, "", ""),
        "GET" => keys_until(1, end),
        _ => http(200, "", "{}"),
    })
    .await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    for (ahead, asked) in [(41, 1), (40, 2)] {
        send(&account, &kill()).await.1.unwrap();
        clock.set(end - Span::minutes(ahead));
        send(&account, &kill()).await.1.unwrap();
        quiet(&account).await;
        assert_eq!(peer.count(KEYS), asked, "{ahead}");
    }
    assert!(!peer.seen.borrow()[1].contains("X-Metadata-Token:"), "there is none");
    // The same keys again: they are asked for again in the last tenth of what is left, and not with each call.
    for _ in 0..5 {
        send(&account, &kill()).await.1.unwrap();
        quiet(&account).await;
    }
    assert_eq!(peer.count(KEYS), 2);
    clock.set(end - Span::minutes(4));
    send(&account, &kill()).await.1.unwrap();
    quiet(&account).await;
    assert_eq!(peer.count(KEYS), 3);
}

#[actix_web::test]
async fn whatever_fails_kills_go_on_with_the_old_keys_to_their_end_and_then_are_told_why() {
    for (failure, told) in [
        (http(500, "", "SK-canary"), "the metadata service answered HTTP 500"),
        (http(200, "", "<html>canary</html>"), "what the metadata service answered holds no credentials"),
        (http(200, "", r#"{"credential":{"access":"AK-canary"}}"#), "holds no credentials that can be read"),
        (keys_until(7, NOON), "what the source gave had ended already"),
        (String::new(), "no answer of 127.0.0.1"),
    ] {
        let clock = Clock::manual(NOON);
        let is_well = Rc::new(Cell::new(true));
        let (well, now, answer) = (Rc::clone(&is_well), clock.clone(), failure.clone());
        let peer = Peer::answering(move |_, request| match request.split(' ').next().unwrap() {
            "PUT" => http(200, "", "t"),
            "GET" if well.get() => keys_until(1, now.now() + hour()),
            "GET" => answer.clone(),
            _ => http(200, "", "{}"),
        })
        .await;
        let account = account_of(&peer, &Huawei, AGENCY, &clock);
        let call = kill();
        send(&account, &call).await.1.unwrap();
        is_well.set(false);
        // Tried again after a pause of a minute, and not before.
        for (seconds, asked) in [(0, 2), (1, 2), (59, 2), (60, 3), (61, 3)] {
            clock.set(NOON + hour() - Span::minutes(5) + Span::seconds(seconds));
            send(&account, &call).await.1.unwrap();
            quiet(&account).await;
            assert_eq!(peer.count(KEYS), asked, "{told}: {seconds}");
        }
        clock.set(NOON + hour());
        let answers = join_all((0..50).map(|_| send(&account, &call))).await;
        for (_, answer) in answers {
            let fault = answer.unwrap_err();
            assert_eq!((fault.kind, fault.stage), (FaultKind::Credentials, "kill"), "{told}");
            let sentence = fault.told(fault.kind.sentence());
            assert!(sentence.contains(told) && !sentence.contains("canary"), "{sentence}");
        }
        let failed = send(&account, &call).await.1.unwrap_err();
        assert_eq!(failed.kind, FaultKind::Credentials);
        assert_eq!(peer.count(KEYS), 4, "{told}: one asking for all who wait, and for those who come right after");
        is_well.set(true);
        clock.set(NOON + hour() + Span::seconds(2));
        assert_eq!(status(send(&account, &call).await.1), 200, "{told}");
    }
}

#[actix_web::test]
async fn stale_keys_are_renewed_once_and_not_in_a_loop() {
    let clock = Clock::manual(NOON);
    let count = Cell::new(0);
    let peer = Peer::answering(move |_, request| match request.split(' ').next().unwrap() {
        "PUT" => http(200, "", "t"),
        "GET" => {
            count.set(count.get() + 1);
            keys_until(count.get(), NOON + hour())
        }
        _ if request.contains("Access=AK-canary-2,") => http(200, "", "{}"),
        _ => http(401, "", r#"{"error_code":"APIGW.0301"}"#),
    })
    .await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    let call = kill();
    let stale = join_all((0..3).map(|_| send(&account, &call))).await;
    let renewed = join_all(stale.iter().map(|(stamp, _)| account.renew(*stamp))).await;
    assert!(renewed.iter().all(|renewed| *renewed == Ok(true)), "{renewed:?}");
    assert_eq!(
        status(send(&account, &call).await.1),
        200,
        "other keys are in good standing whatever became of those before"
    );
    assert_eq!(peer.count(KEYS), 2);

    // And where the service gives the same ones again, nothing is won.
    let peer = Peer::answering(move |_, request| match request.split(' ').next().unwrap() {
        "PUT" => http(200, "", "t"),
        "GET" => keys_until(1, NOON + hour()),
        _ => http(401, "", ""),
    })
    .await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    for _ in 0..3 {
        let (stamp, _) = send(&account, &call).await;
        assert_eq!(account.renew(stamp).await, Ok(false));
    }
    assert_eq!((peer.count(KEYS), peer.count(CALL)), (2, 3));
    assert_eq!(send(&account, &call).await.1.unwrap_err().kind, FaultKind::Denied, "they are spared");
}

#[actix_web::test]
async fn a_refused_token_of_a_cloud_that_refuses_inside_a_200_is_renewed_once() {
    let clock = Clock::manual(NOON);
    let count = Cell::new(0);
    let end = (NOON + hour()).unix_timestamp();
    let peer = Peer::answering(move |number, request| {
        if request.starts_with("GET /prefix/latest/meta-data/cam/security-credentials/r ") {
            count.set(count.get() + 1);
            let keys = format!(r#""TmpSecretId":"ID{0}","TmpSecretKey":"K{0}","Token":"T{0}""#, count.get());
            return http(200, "", &format!(r#"{{{keys},"ExpiredTime":{end},"Code":"Success"}}"#));
        }
        let error = r#"{"Code":"AuthFailure.TokenFailure","Message":"x"}"#;
        http(200, "", &format!(r#"{{"Response":{{"Error":{error},"RequestId":"r{number}"}}}}"#))
    })
    .await;
    let account = account_of(&peer, &Tencent, ROLE, &clock);
    let call = Call::json("kill", Effect::Kill, "KillSession", Method::POST, "/".into(), &["1"]).at_service("dcdb");
    let mut stamps = vec![];
    for _ in 0..4 {
        stamps.push(send_to(&account, VendorName("dcdb"), &call).await.0);
        let renewed = account.renew(*stamps.last().unwrap()).await;
        assert_eq!(renewed, Ok(stamps.len() == 1));
    }
    assert_eq!(peer.count("GET /prefix/latest/"), 2);
}

#[actix_web::test]
async fn a_budget_belongs_to_the_role_and_not_to_its_keys_of_now() {
    let clock = Clock::manual(NOON);
    let peer = machine(&clock).await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    let before = account.counted_as(GAUSSDB, None);
    send(&account, &kill()).await.1.unwrap();
    clock.set(NOON + hour());
    send(&account, &kill()).await.1.unwrap();
    assert_eq!(used(&peer), ["AK-canary-1", "AK-canary-2"]);
    assert_eq!(account.counted_as(GAUSSDB, None), before);
    let same = account_of(&peer, &Huawei, AGENCY, &clock);
    assert_eq!(same.counted_as(GAUSSDB, None), before);
    let base = "access_key = 'a'\nsecret_key = 's'\n";
    let role = |name: &str| format!("{base}assume_role = {{ agency_name = '{name}', domain_name = 'd' }}");
    let one = account_of(&peer, &Huawei, &role("one"), &clock).counted_as(GAUSSDB, None);
    assert_ne!(one, before);
    assert_ne!(account_of(&peer, &Huawei, &role("two"), &clock).counted_as(GAUSSDB, None), one);
    assert_eq!(account_of(&peer, &Huawei, &role("one"), &clock).counted_as(GAUSSDB, None), one);
}

#[actix_web::test]
async fn a_metadata_service_is_asked_without_the_proxy() {
    let clock = Clock::manual(NOON);
    let peer = machine(&clock).await;
    // An address of this machine that does not look like one, so that a proxy would be asked, if there were one.
    let far = peer.url.as_str().replace("127.0.0.1", "0.0.0.0").parse().unwrap();
    let proxied = crate::upstream::transport::Egress::new(crate::upstream::transport::PublicRoots::Web, &[]).unwrap();
    let nobody = crate::upstream::transport::Proxy::parse("http://127.0.0.1:1");
    let mut built = account_of(&Peer { url: far, seen: Rc::clone(&peer.seen) }, &Huawei, AGENCY, &clock);
    built.transport = built.transport.by(proxied.through(nobody, vec![]));
    let account = CloudAccount::new(built.settings, built.transport, built.clock);
    let fault = send(&account, &kill()).await.1.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotConnected, "the call itself goes through the proxy: {fault:?}");
    assert_eq!((peer.count(TOKEN), peer.count(KEYS), peer.count(CALL)), (1, 1, 0));
}

#[actix_web::test]
async fn no_debug_shows_temporary_keys() {
    let clock = Clock::manual(NOON);
    let peer = machine(&clock).await;
    let account = account_of(&peer, &Huawei, AGENCY, &clock);
    let answer = send(&account, &kill()).await;
    let latest = account.renewed.as_ref().and_then(Renewed::latest);
    let shown = format!("{account:?} {answer:?} {latest:?} {:?}", account.settings.credentials);
    assert!(!shown.contains("canary") && shown.contains("EcsAgency"), "{shown}");
}

proptest! {
    #[test]
    fn whatever_a_source_answers_is_read_or_refused(status in 200_u16..600, body in any::<Vec<u8>>()) {
        let table = |toml: &str| Table {
            toml: format!("project_id = '{PROJECT}'\n{toml}").parse().unwrap(),
            near: "http://127.0.0.1:1".parse().unwrap(),
        };
        let assumed = "secret_id = 'i'\nsecret_key = 'k'\nassume_role = { role_arn = 'r', role_session_name = 'ss' }";
        let agency = "access_key = 'i'\nsecret_key = 'k'\nassume_role = { agency_name = 'r', domain_name = 'd' }";
        let clouds: [(&dyn Cloud, &str); 4] = [(&Huawei, AGENCY), (&Huawei, agency), (&Tencent, ROLE), (&Tencent, assumed)];
        for (cloud, toml) in clouds {
            let Credentials::Temporary(source) = cloud.identity(&mut table(toml)).unwrap().credentials else { panic!() };
            let realm = Realm { region: "r".into(), project_id: None };
            let endpoint = "http://127.0.0.1:1".parse().unwrap();
            let asking = crate::upstream::credentials::Asking { endpoint: &endpoint, realm: &realm, file: None, at: NOON };
            let response = Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: actix_web::http::header::HeaderMap::new(),
                body: body.clone(),
            };
            let source: Arc<dyn crate::upstream::credentials::Source> = source;
            for asked in 1..=2 {
                let _ = source.next(asked, &response, &asking);
            }
        }
    }
}
