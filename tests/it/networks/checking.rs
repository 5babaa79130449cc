//! `killgate check --connect` tells line by line what holds.

use killgate::sandbox::{Action, Behaviour, Clouds, Sandbox};

use super::authority::{Authority, For, front};
use crate::{
    safety::process::{Ended, Process},
    support::configuration::configuration_text,
};

/// Runs the check on a configuration of that text, in a folder.
async fn check(folder: &std::path::Path, text: &str) -> Ended {
    std::fs::write(folder.join("killgate.toml"), text).unwrap();
    Process::start(&["check", "--connect"], folder, &[]).ended().await
}

fn line<'a>(ended: &'a Ended, of: &str) -> &'a str {
    let starts =
        |line: &&str| [format!("ok   {of}: "), format!("FAIL {of}: ")].iter().any(|start| line.starts_with(start));
    ended.stdout.lines().find(starts).unwrap_or_else(|| panic!("no {of} in {} {}", ended.stdout, ended.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_and_what_does_not_is_told_by_its_key() {
    let (ours, other, folder) = (Authority::new("ours"), Authority::new("other"), tempfile::tempdir().unwrap());
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let webhook = async |name: &str, authority: &Authority, whom| {
        let url = front(&authority.issue(whom), &clouds.url).await;
        format!("[webhooks.{name}]\nurl = \"{url}/hook\"\nsecret = \"a-key-that-only-the-tests-know-02\"\n")
    };
    let more = [
        "[tls]\n".to_owned() + &ours.ca_file(folder.path(), "ca.pem"),
        webhook("good", &ours, For::Us).await,
        webhook("expired", &ours, For::UsBefore).await,
        webhook("misnamed", &ours, For::Others).await,
        webhook("unknown", &other, For::Us).await,
    ];
    let record = format!("sqlite_path = \"{}\"", folder.path().join("k.db").display());
    let text = configuration_text(&record, &clouds.url, &more.concat());
    let ended = check(folder.path(), &text).await;
    assert_eq!(ended.status.code(), Some(1), "{} {}", ended.stdout, ended.stderr);
    assert!(line(&ended, "audit").contains("not there yet"), "{}", ended.stdout);
    assert!(line(&ended, "webhooks.good").starts_with("ok   webhooks.good: reached, HTTP "), "{}", ended.stdout);
    for (name, why) in [
        ("expired", "the certificate has expired"),
        ("misnamed", "the certificate is for another name"),
        ("unknown", "the certificate is of an authority that is not known here"),
    ] {
        let line = line(&ended, &format!("webhooks.{name}"));
        assert!(line.starts_with("FAIL") && line.contains(why), "{line}");
    }
    assert!(line(&ended, "accounts.tencent-test.endpoints.dcdb").starts_with("ok"));
    assert!(!ended.stdout.contains("only-the-tests-know"), "{}", ended.stdout);

    // With a record, sessions are listed too.
    let migrated = Process::start(&["migrate"], folder.path(), &[]).ended().await;
    assert!(migrated.status.success(), "{}", migrated.stderr);
    let text = configuration_text(&record, &clouds.url, &more[..2].concat());
    let ended = check(folder.path(), &text).await;
    assert_eq!(ended.status.code(), Some(0), "{} {}", ended.stdout, ended.stderr);
    assert!(line(&ended, "audit").contains("is good"));
    for alias in ["ledger", "orders-ro", "orders-shard-1"] {
        assert!(line(&ended, &format!("targets.{alias}")).contains(" sessions listed"), "{}", ended.stdout);
    }
    assert!(line(&ended, "targets.shop").starts_with("ok   targets.shop: not listed: "), "{}", ended.stdout);
    let kills = [Action::GaussdbKill, Action::DasKill, Action::TaurusdbKill, Action::DcdbKill];
    assert!(kills.iter().all(|kill| clouds.clouds.calls_for(*kill).is_empty()), "nothing was changed");

    clouds.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let ended = check(folder.path(), &text).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        line(&ended, "targets.orders-ro").starts_with("FAIL targets.orders-ro: upstream_denied: "),
        "{}",
        ended.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_certificate_is_held_against_its_key_and_the_day() {
    let (ours, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let (now, before) = (ours.issue(For::Us), ours.issue(For::UsBefore));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let record = format!("sqlite_path = \"{}\"", path("k.db"));
    let tls = format!(
        "[server.tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        path("certificate.pem"),
        path("key.pem")
    );
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let text = configuration_text(&record, &clouds.url, &tls);
    std::fs::write(folder.path().join("killgate.toml"), &text).unwrap();
    let plain = async || Process::start(&["check"], folder.path(), &[]).ended().await;

    now.write(folder.path());
    let ended = check(folder.path(), &text).await;
    assert!(line(&ended, "server.tls").starts_with("ok"), "{}", ended.stdout);
    assert!(plain().await.status.success());

    std::fs::write(path("key.pem"), &before.key).unwrap();
    let ended = plain().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("server.tls: key_file: is not the key of the certificate"), "{}", ended.stderr);

    before.write(folder.path());
    let ended = check(folder.path(), &text).await;
    assert_eq!(line(&ended, "server.tls"), "FAIL server.tls: certificate_file: the certificate has expired");
    assert!(plain().await.status.success(), "it keeps no gateway from serving");
}
