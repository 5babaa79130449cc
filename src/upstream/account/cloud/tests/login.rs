//! Accounts that log in at IAM.

use futures_util::future::join_all;

use super::*;

#[actix_web::test]
async fn everybody_shares_one_login_and_one_renewal() {
    let peer = Peer::answering(|number, request| {
        let stale = request.contains("X-Auth-Token: MIIE-canary-1\r\n");
        if is_login(request) { token(number) } else { http(if stale { 401 } else { 200 }, "", "") }
    })
    .await;
    let account = account(&peer, &Huawei, iam(), &Clock::manual(NOON));
    let call = kill();
    let replies = join_all((0..5).map(|_| send(&account, &call))).await;
    assert!(replies.iter().all(|(_, reply)| reply.as_ref().unwrap().status() == Some(StatusCode::UNAUTHORIZED)));
    assert_eq!((peer.count(LOGIN), peer.count(KILL)), (1, 5));
    assert!(peer.seen.borrow()[0].ends_with(concat!(
        r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"acme"},"#,
        r#""name":"robot","password":"PW-canary"}}},"scope":{"project":{"id":"0611f1bd8b00d5d32f17c017f15b599f"}}}}"#
    )));

    let renewed = join_all(replies.iter().map(|(stamp, _)| account.renew(*stamp))).await;
    assert!(renewed.iter().all(|renewed| *renewed == Ok(true)), "{renewed:?}");
    assert_eq!(peer.count(LOGIN), 2);
    assert_eq!(status(send(&account, &call).await.1), 200);
    assert_eq!(peer.count(LOGIN), 2);
    assert!(!account.redactor().clean("x MIIE-canary-7 y PW-canary").contains("canary"));
}

#[actix_web::test]
async fn a_token_that_is_refused_as_soon_as_it_is_fetched_is_renewed_once_and_not_in_a_loop() {
    let peer =
        Peer::answering(|number, request| if is_login(request) { token(number) } else { http(401, "", "") }).await;
    let clock = Clock::manual(NOON);
    let account = account(&peer, &Huawei, iam(), &clock);
    let first = send(&account, &kill()).await.0;
    assert_eq!(account.renew(first).await, Ok(true));
    for _ in 0..3 {
        let again = send(&account, &kill()).await.0;
        assert_eq!(account.renew(again).await, Ok(false));
    }
    assert_eq!(peer.count(LOGIN), 2);
    clock.set(NOON + Span::seconds(60));
    let again = send(&account, &kill()).await.0;
    assert_eq!(account.renew(again).await, Ok(true));
}

#[actix_web::test]
async fn a_refused_login_is_not_tried_again_for_a_minute() {
    let peer = Peer::answering(|_, _| http(401, "", r#"{"error":{"code":401,"message":"PW-canary"}}"#)).await;
    let clock = Clock::manual(NOON);
    let account = account(&peer, &Huawei, iam(), &clock);
    let call = kill();
    for (_, answer) in join_all((0..5).map(|_| send(&account, &call))).await {
        let fault = answer.unwrap_err();
        assert_eq!((fault.kind, fault.stage), (FaultKind::Denied, "kill"));
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
    }
    clock.set(NOON + Span::seconds(59));
    send(&account, &call).await.1.unwrap_err();
    assert_eq!(peer.count(""), 1);
    clock.set(NOON + Span::seconds(60));
    send(&account, &call).await.1.unwrap_err();
    assert_eq!(peer.count(""), 2);
}

#[actix_web::test]
async fn whatever_fails_at_the_login_nothing_reaches_the_database_api() {
    let other = r#"{"token":{"expires_at":"2026-01-03T12:00:00Z","project":{"id":"another"}}}"#;
    for (answer, kind) in [
        (http(400, "", ""), FaultKind::Denied),
        (http(403, "", ""), FaultKind::Denied),
        (http(404, "", ""), FaultKind::Refused),
        (http(429, "Retry-After: 3\r\n", ""), FaultKind::Throttled),
        (http(500, "", ""), FaultKind::Credentials),
        (String::new(), FaultKind::Credentials),
        (http(201, "", "{}"), FaultKind::Refused),
        (http(201, "X-Subject-Token: t\r\n", "{}"), FaultKind::Refused),
        (http(201, "X-Subject-Token: t\r\n", other), FaultKind::Refused),
    ] {
        let text = answer.clone();
        let peer = Peer::answering(move |_, _| answer.clone()).await;
        let account = account(&peer, &Huawei, iam(), &Clock::manual(NOON));
        let fault = send(&account, &kill()).await.1.unwrap_err();
        assert_eq!(fault.kind, kind, "{text}: {fault:?}");
        assert_eq!(fault.retry_after.is_some(), kind == FaultKind::Throttled);
        assert_eq!(peer.count(""), peer.count(LOGIN));
    }
}

#[actix_web::test]
async fn a_token_is_renewed_ahead_of_its_end_and_serves_to_its_end_if_that_fails() {
    let peer = Peer::answering(|number, request| match (is_login(request), number) {
        (true, 1) => token(1),
        (true, _) => http(503, "", ""),
        (false, _) => http(200, "", ""),
    })
    .await;
    let clock = Clock::manual(NOON);
    let account = account(&peer, &Huawei, iam(), &clock);
    for (hours, minutes, logins) in [(0, 0, 1), (23, 29, 1), (23, 30, 2), (23, 30, 2), (23, 31, 3)] {
        clock.set(NOON + Span::hours(hours) + Span::minutes(minutes));
        send(&account, &kill()).await.1.unwrap();
        account.renewed.as_ref().unwrap().is_quiet().await;
        assert_eq!(peer.count(LOGIN), logins, "{hours}:{minutes}");
    }
    clock.set(NOON + Span::days(1) + Span::minutes(1));
    assert_eq!(send(&account, &kill()).await.1.unwrap_err().kind, FaultKind::Credentials);
}

#[actix_web::test]
async fn without_a_configured_project_the_token_says_which() {
    let peer =
        Peer::answering(|number, request| if is_login(request) { token(number) } else { http(200, "", "") }).await;
    let mut account = account(&peer, &Huawei, iam(), &Clock::manual(NOON));
    account.settings.project_id = None;
    let account = CloudAccount::new(account.settings, account.transport, account.clock);
    send(&account, &kill()).await.1.unwrap();
    assert_eq!(peer.count(KILL), 1);
    assert!(peer.seen.borrow()[0].contains(r#""scope":{"project":{"name":"ap-southeast-1"}}"#));
}
