//! A record that was restored from a backup, as docs/restoring.md walks through it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use actix_web::http::StatusCode;
use killgate::chain::{SealKey, hex};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::task::block_in_place;

use crate::{
    safety::process::{Ended, Process},
    support::{
        gateway::{Engine, Gateway, Setup, kill_of, on_both_engines, url_of},
        patience::eventually,
        postgres::Database,
        receiver::{Receiver, Reply},
    },
};

on_both_engines! {
    what_was_owed_is_told_and_the_chain_goes_on_under_a_new_key,
}

/// A record as it was at one moment, and where it is restored to.
struct Backup {
    file: PathBuf,
    bin: Option<String>,
}

async fn back_up(gateway: &Gateway, engine: Engine, folder: &Path) -> Backup {
    let file = folder.join("backup");
    let url = url_of(gateway);
    match engine {
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            let copy = sqlx::query("VACUUM INTO $1").bind(file.to_str()).execute(&mut connection);
            copy.await.expect("a copy");
            Backup { file, bin: None }
        }
        Engine::Postgres => {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let bin = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
            let bin: String = bin.fetch_one(&mut connection).await.unwrap();
            run(&format!("{bin}/pg_dump"), &["--format=custom", "--file", file.to_str().unwrap(), &url]);
            Backup { file, bin: Some(bin) }
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = block_in_place(|| Command::new(program).args(arguments).output().expect(program));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The URL of the restored record, and what keeps it there.
async fn restore(backup: &Backup) -> (String, Option<Database>) {
    let Some(bin) = &backup.bin else { return (format!("sqlite:{}", backup.file.display()), None) };
    let database = Database::empty().await;
    let url = database.url();
    run(&format!("{bin}/pg_restore"), &["--exit-on-error", "--dbname", &url, backup.file.to_str().unwrap()]);
    (url, Some(database))
}

/// Lines of a configuration that seals with that key, and tells `portal`.
fn sealing(key: &SealKey, checkpoints: &Path, portal: &Receiver) -> String {
    let key = key.base64().unwrap();
    let key = key.expose_secret();
    let path = checkpoints.display();
    format!("[seal]\nkey = \"{key}\"\ncheckpoint_file = \"{path}\"\nevery_ms = 100\n{}", portal.section("portal"))
}

/// Runs `killgate audit verify` with those keys.
async fn verify(folder: &Path, url: &str, keys: &[&str], checkpoints: Option<&str>) -> Ended {
    let mut arguments = vec!["audit", "verify"];
    arguments.extend(keys.iter().flat_map(|key| ["--key", key]));
    arguments.extend(checkpoints.iter().flat_map(|file| ["--checkpoints", file]));
    Process::start(&arguments, folder, &[("DATABASE_URL", url)]).ended().await
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a checkpoint tells of so many kills.
async fn told_outside(file: &Path, kills: u64) {
    let all = async || lines(file).last().is_some_and(|head| head["total"].as_u64() >= Some(kills)).then_some(());
    eventually("a checkpoint", all).await;
}

async fn what_was_owed_is_told_and_the_chain_goes_on_under_a_new_key(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (old, new) = (SealKey::generate().unwrap(), SealKey::generate().unwrap());
    // Before the restore the webhook takes nothing, after it everything.
    let (away, portal) = (Receiver::always(Reply::Status(503)).await, Receiver::always(Reply::Status(204)).await);
    let setup = Setup { more: sealing(&old, &at("checkpoints"), &away), ..Setup::default() };
    let first = Gateway::start_blind_with(engine, setup).await;
    let owed = first.kill(&kill_of("orders-ro", &[2_075_425])).await.kill_id().to_owned();
    away.got(1).await;
    told_outside(&at("checkpoints"), 1).await;
    let backup = back_up(&first, engine, folder.path()).await;

    // What comes after it is lost, but for what was told outside.
    let lost = first.kill_with(&[("idempotency-key", "after")], &kill_of("orders-ro", &[2_075_426])).await;
    told_outside(&at("checkpoints"), 2).await;
    let (_sandbox, _home) = first.stop().await;
    let (url, _database) = restore(&backup).await;

    let old_key = hex(&old.public());
    let ended = verify(folder.path(), &url, &[&old_key], Some("checkpoints")).await;
    assert_eq!(ended.status.code(), Some(64), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("CHECKPOINT"), "{}", ended.stdout);
    let ended = verify(folder.path(), &url, &[&old_key], None).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let blocks = ended.stdout.split(" blocks").next().and_then(|text| text.rsplit(' ').next()).unwrap().to_owned();

    // Those ahead are kept apart: they are what is known of what was lost.
    let number: u64 = blocks.parse().unwrap_or_else(|_| panic!("{}", ended.stdout));
    let all = fs::read_to_string(at("checkpoints")).unwrap();
    let is_kept = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64() <= Some(number);
    let kept: Vec<&str> = all.lines().filter(is_kept).collect();
    assert!(!kept.is_empty() && kept.len() < all.lines().count(), "{all}");
    fs::write(at("kept"), kept.join("\n") + "\n").unwrap();
    let ended = verify(folder.path(), &url, &[&old_key], Some("kept")).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);

    let setup =
        Setup { more: sealing(&new, &at("kept"), &portal), database_url: Some(url.clone()), ..Setup::default() };
    let second = Gateway::start_blind_with(engine, setup).await;
    let told = &portal.got(1).await[0];
    assert_eq!((told.json()["data"]["id"].as_str(), told.id()), (Some(owed.as_str()), away.posts()[0].id()));
    assert_eq!(second.read(&format!("/kills/{}", lost.kill_id())).await.status, StatusCode::NOT_FOUND);
    let again = second.kill_with(&[("idempotency-key", "after")], &kill_of("orders-ro", &[2_075_427])).await;
    assert_ne!(again.kill_id(), lost.kill_id(), "its key is free again");
    told_outside(&at("kept"), 2).await;
    let until = format!("{old_key}:..{number}");
    let ended = verify(folder.path(), &url, &[&until, &hex(&new.public())], Some("kept")).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
}
