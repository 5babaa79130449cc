//! `killgate check --connect` and a reload, with keys that end.

use killgate::sandbox::Sandbox;

use super::*;
use crate::{
    safety::process::{Ended, Process, Served},
    support::configuration::configuration_text,
};

/// Runs the check with that source.
async fn check(folder: &std::path::Path, clouds: &Sandbox, source: &Source) -> Ended {
    let record = format!("sqlite_path = \"{}\"", folder.join("k.db").display());
    let text = configuration_text(&record, &clouds.url, &source.account());
    std::fs::write(folder.join("killgate.toml"), text).unwrap();
    Process::start(&["migrate"], folder, &[]).ended().await;
    Process::start(&["check", "--connect"], folder, &[]).ended().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_fetches_keys_lists_with_them_and_says_what_does_not_hold() {
    for (source, of, target) in [
        (ecs_agency(), "accounts.huawei-test, ECS agency: ", "targets.orders-ro: "),
        (assumed_role(), "accounts.tencent-test, assumed role: ", "targets.orders-shard-1: "),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
        let ended = check(folder.path(), &clouds, &source).await;
        assert_eq!(ended.status.code(), Some(0), "{} {}", ended.stdout, ended.stderr);
        let line =
            |of: &str| ended.stdout.lines().find(|line| line.contains(of)).unwrap_or_else(|| panic!("{ended:?}"));
        assert!(line(of).starts_with(&format!("ok   {of}credentials were fetched, good until 20")), "{}", line(of));
        assert!(line(target).contains(" sessions listed"), "{}", line(target));
        for secret in clouds.clouds.temporary_secrets() {
            assert!(!ended.stdout.contains(&secret) && !ended.stderr.contains(&secret), "{secret}");
        }
        assert!(clouds.clouds.calls_for(source.place().2).is_empty(), "nothing was changed");

        clouds.clouds.set_machine(false, None);
        let broken = Source { lines: source.lines.replace(world::TENCENT_EXTERNAL_ID, "another"), ..source };
        let ended = check(folder.path(), &clouds, &broken).await;
        assert_eq!(ended.status.code(), Some(1), "{} {}", ended.stdout, ended.stderr);
        let line = ended.stdout.lines().find(|line| line.contains(of)).unwrap();
        assert!(line.starts_with(&format!("FAIL {of}no credentials: ")), "{line}");
        assert!(line.contains("no agency") || line.contains("(UnauthorizedOperation)"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_given_another_source_has_its_keys_from_there() {
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let served = Served::start("", &clouds.url, "").await;
    let usual = served.configuration();
    assert_eq!(served.kill(&kill_of("orders-ro", &[2_075_425])).await.status.as_u16(), 200);
    let fixed = format!("access_key = \"{}\"", world::HUAWEI_ACCESS_KEY);
    let secret = format!("secret_key = \"{}\"", world::HUAWEI_SECRET_KEY);
    let machine = ecs_agency().lines.replace("{clouds}", &clouds.url);
    served.configure(&usual.replace(&fixed, &machine).replace(&secret, ""));
    served.process.signal("HUP");
    let said = async || served.process.stderr().contains("accounts.huawei-test changed").then_some(());
    eventually("the configuration was read again", said).await;
    assert_eq!(served.kill(&kill_of("orders-ro", &[2_075_426])).await.status.as_u16(), 200);
    let calls = clouds.clouds.calls_for(Action::TaurusdbKill);
    assert!(calls.last().unwrap().headers.value("x-security-token").is_some());
    assert_eq!(clouds.clouds.calls_for(Action::EcsKeys).len(), 1);
    let log = served.process.stderr();
    assert!(clouds.clouds.temporary_secrets().iter().all(|secret| !log.contains(secret)));

    // Half a source changes nothing.
    served.configure(&usual.replace(&fixed, &format!("{machine}\n{fixed}")));
    served.process.signal("HUP");
    let said = async || served.process.stderr().contains("exactly one of iam, keys").then_some(());
    eventually("the bad configuration is told", said).await;
    assert_eq!(served.kill(&kill_of("orders-ro", &[2_075_427])).await.status.as_u16(), 200);
}
