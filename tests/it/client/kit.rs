//! The program itself as a client: run by a script, or by a person at a terminal.

use std::{path::Path, process::Stdio};

use actix_web::http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use crate::support::{gateway::Gateway, patience::in_time};

/// All that a person may be let do.
pub(crate) const ALL: &str = "sessions:read sessions:kill kills:read kills:export";

/// How a command ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    /// What it answered, as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(super) fn assert(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Somebody with the program, a home of its own and what the environment says.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) home: TempDir,
    pub(super) env: Vec<(&'static str, String)>,
}

impl Person {
    /// Who may do all at a gateway.
    pub(super) fn at(gateway: &Gateway) -> Self {
        Self::with(&format!("http://{}", gateway.app.address()), &Gateway::token("anna", ALL))
    }

    pub(super) fn with(url: &str, token: &str) -> Self {
        let env = vec![("KILLGATE_URL", url.to_owned()), ("KILLGATE_TOKEN", token.to_owned())];
        Self { home: tempfile::tempdir().unwrap(), env }
    }

    /// Who has nothing but a home.
    pub(super) fn nobody() -> Self {
        Self { home: tempfile::tempdir().unwrap(), env: vec![] }
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        command.current_dir(self.home.path()).kill_on_drop(true);
        command
    }

    /// As a script runs it, with words that have no spaces in them.
    pub(super) async fn run(&self, words: &str) -> Ended {
        self.run_with(&words.split_whitespace().collect::<Vec<_>>(), "").await
    }

    pub(super) async fn run_with(&self, words: &[&str], input: &str) -> Ended {
        let mut command = self.command(env!("CARGO_BIN_EXE_killgate"));
        ended(command.args(words), input).await
    }

    /// As a person does at a terminal of so many columns, who types that.
    pub(super) async fn at_terminal(&self, words: &str, columns: usize, typed: &str) -> Ended {
        let program = env!("CARGO_BIN_EXE_killgate");
        let line = format!("stty rows 40 cols {columns}; exec {program} {words}");
        let mut command = self.command("script");
        command.env("TERM", "xterm").args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]);
        ended(&mut command, typed).await
    }
}

async fn ended(command: &mut Command, input: &str) -> Ended {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    // It may end without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = in_time(child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The kills and previews on record, newest first.
pub(super) async fn on_record(gateway: &Gateway) -> Vec<Value> {
    gateway.read("/kills?limit=500").await.body["items"].as_array().unwrap().clone()
}

/// The statuses of those.
pub(crate) async fn statuses(gateway: &Gateway) -> Vec<String> {
    on_record(gateway).await.iter().map(|kill| kill["status"].as_str().unwrap().to_owned()).collect()
}

/// What the gateway answers to that caller.
pub(super) async fn answered(gateway: &Gateway, person: &Person, path: &str) -> Value {
    let bearer = format!("Bearer {}", person.env[1].1);
    gateway.client().send(Method::GET, path, &[("Authorization", &bearer)], String::new()).await.body
}

/// The permissions of a file.
pub(super) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

/// Reads a request of HTTP to the end of its body.
pub(crate) async fn request_of(connection: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(request).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or_default()];
    connection.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8(body).ok()?)
}
