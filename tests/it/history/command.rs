//! `killgate audit export` writes the file that the gateway streams.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tokio::task::block_in_place;

use super::{aged, exported, on_both_engines, on_one_engine};
use crate::support::gateway::{Engine, Gateway};

on_both_engines! {
    the_command_writes_what_the_gateway_streams,
    a_file_is_there_whole_or_not_at_all,
}

on_one_engine! {
    nothing_is_replaced_unasked_and_only_a_file_ever,
}

fn export(gateway: &Gateway, directory: &Path, arguments: &[&str]) -> Output {
    let database = match &gateway.config.audit.database {
        killgate::config::Database::Postgres(url) => url.expose().to_owned(),
        killgate::config::Database::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_killgate"));
    command.args(["audit", "export"]).args(arguments).current_dir(directory).env_clear();
    command.env("DATABASE_URL", database);
    block_in_place(|| command.output().expect("the program runs"))
}

async fn the_command_writes_what_the_gateway_streams(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 30).await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("kills");
    for (arguments, query, kills) in [
        (&["--output", "kills"][..], "", 120),
        (&["--output", "kills", "--force", "--format", "csv", "--status", "failed"], "format=csv&status=failed", 30),
        (
            &["--output", "kills", "--force", "--instance-id", "in07", "--since", "2026-01-01T00:00:00Z"],
            "instance_id=in07&since=2026-01-01T00:00:00Z",
            6,
        ),
        (
            &[
                "--output",
                "kills",
                "--force",
                "--format",
                "csv",
                "--rows",
                "sessions",
                "--excel",
                "--user",
                "app,report",
            ],
            "format=csv&rows=sessions&excel=true&user=app,report",
            30,
        ),
    ] {
        let done = export(&gateway, directory.path(), arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(String::from_utf8(done.stdout).unwrap(), format!("{kills} kills in kills\n"));
        assert!(done.stderr.is_empty(), "progress is shown on a terminal only");
        let written = block_in_place(|| fs::read_to_string(&output).unwrap());
        assert_eq!(written, exported(&gateway, query).await, "{query}");
        let manifest = directory.path().join("kills.manifest.json");
        assert_eq!(manifest.exists(), query.contains("csv"), "{query}");
        if query.contains("csv") {
            let path = format!("/kills/export/manifest?{query}");
            let answer = gateway.client().get(&path, &Gateway::token("auditor", "kills:export")).await;
            let written: Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
            assert_eq!(written, answer.body);
            fs::remove_file(&manifest).unwrap();
        }
    }
}

async fn a_file_is_there_whole_or_not_at_all(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 1).await;
    let directory = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["--output", "kills", "--until", "soon"][..], "--until: must be a time"),
        (&["--output", "kills", "--instance-id", ""], "--instance-id: must not be empty"),
        (&["--output", "kills", "--format", "xml"], "must be ndjson or csv"),
        (&["--output", "kills", "--rows", "sessions"], "--rows: goes with --format csv only"),
        (&["--output", "kills", "--excel"], "--excel: goes with --format csv only"),
        (&["--output", "kills", "--vendor", "d*"], "--vendor: takes no *"),
        (&["--output", "nowhere/kills"], "cannot write nowhere/kills"),
        (&["--output", "kills", "--cursor", "x"], "--cursor"),
    ] {
        let done = export(&gateway, directory.path(), arguments);
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && told.contains(says), "{told}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

async fn nothing_is_replaced_unasked_and_only_a_file_ever(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("there"), "mine").unwrap();
    fs::create_dir(place("folder")).unwrap();
    fs::write(place("new.manifest.json"), "mine").unwrap();
    std::os::unix::fs::symlink("there", place("link")).unwrap();
    for (arguments, says) in [
        (&["--output", "there"][..], "there is there already; --force replaces it"),
        (&["--output", "new", "--format", "csv"], "new.manifest.json is there already; --force replaces it"),
        (&["--output", "link", "--force"], "link is not a regular file"),
        (&["--output", "folder", "--force"], "folder is not a regular file"),
        (&["--output", "/dev/null", "--force"], "/dev/null is not a regular file"),
    ] {
        let done = export(&gateway, directory.path(), arguments);
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && told.contains(says), "{told}");
    }
    assert_eq!(fs::read_to_string(place("there")).unwrap(), "mine");
    assert!(export(&gateway, directory.path(), &["--output", "there", "--force"]).status.success());
    assert!(fs::read_to_string(place("link")).unwrap().contains("\"manifest\""));
}
