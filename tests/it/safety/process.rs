//! The program itself, as a child process that can be told things, stopped and killed.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    configuration::configuration_text,
    gateway::{Answer, Client, Gateway},
    patience::eventually,
    watchdog,
};

/// What a stream has said so far, and the thread that listens to it.
#[derive(Debug)]
struct Heard {
    text: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Heard {
    fn from(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&text);
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        Self { text, listener }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn whole(self) -> String {
        self.listener.join().unwrap();
        self.text.lock().unwrap().clone()
    }
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `killgate` with some arguments, in a directory of its own and with no environment but what is given.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Option<Heard>,
    stderr: Option<Heard>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], directory: &Path, env: &[(&str, &str)]) -> Self {
        Self::start_telling(arguments, directory, env, Stdio::piped())
    }

    /// The same with its standard error led elsewhere.
    pub(crate) fn start_telling(arguments: &[&str], directory: &Path, env: &[(&str, &str)], stderr: Stdio) -> Self {
        watchdog::is_running();
        let mut child = Command::new(env!("CARGO_BIN_EXE_killgate"))
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("TMPDIR", directory)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().map(Heard::from);
        let stderr = child.stderr.take().map(Heard::from);
        Self { child, stdout, stderr }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.as_ref().map(Heard::so_far).unwrap_or_default()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.as_ref().map(Heard::so_far).unwrap_or_default()
    }

    /// `TERM`, `INT` or `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it ends by itself, or of a signal.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = eventually("the process ends", async || self.child.try_wait().expect("a child")).await;
        let text = |heard: Option<Heard>| heard.map(Heard::whole).unwrap_or_default();
        Ended { status, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("a child");
    }
}

/// `killgate serve` with the usual configuration in a file.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    directory: TempDir,
}

impl Served {
    pub(crate) async fn start(audit: &str, clouds: &str, more: &str) -> Self {
        Self::start_with(audit, clouds, more, &[]).await
    }

    pub(crate) async fn start_with(audit: &str, clouds: &str, more: &str, env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("killgate.toml");
        std::fs::write(&file, configuration_text(audit, clouds, more)).expect("a file");
        // Found by its name in the working directory.
        let mut process = Process::start(&["serve"], directory.path(), env);
        let address = eventually("it listens", async || {
            let ended = process.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?} {}", process.stderr());
            listening(&process.stderr())
        })
        .await;
        Self { client: Client::new(address), process, address, directory }
    }

    pub(crate) async fn kill(&self, body: &Value) -> Answer {
        let token = Gateway::token("chatops-bot", "sessions:kill");
        self.client.post("/sessions/kill", &token, &[], body.to_string()).await
    }

    /// The same for whoever waits elsewhere.
    pub(crate) fn asked(&self, body: &Value) -> impl Future<Output = Answer> + Send + 'static {
        let (client, body) = (self.client.clone(), body.to_string());
        let token = Gateway::token("chatops-bot", "sessions:kill");
        async move { client.post("/sessions/kill", &token, &[], body).await }
    }

    /// What stands in its configuration.
    pub(crate) fn configuration(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("killgate.toml")).expect("a file")
    }

    /// Writes another one in its place, which is not read before it is told so.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.directory.path().join("killgate.toml"), text).expect("a file");
    }

    /// Asks and does not wait for an answer.
    pub(crate) fn kill_and_forget(&self, body: &Value) {
        let (body, token) = (body.to_string(), Gateway::token("chatops-bot", "sessions:kill"));
        let mut connection = TcpStream::connect(self.address).expect("a gateway that listens");
        let head = format!(
            "POST /sessions/kill HTTP/1.1\r\nHost: killgate\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).expect("a gateway that reads");
    }

    /// Ends it as a crash would.
    pub(crate) async fn die(self) {
        let mut process = self.process;
        process.child.kill().expect("a child");
        let ended = process.ended().await;
        assert_eq!(ended.status.signal(), Some(9), "{}", ended.stderr);
    }
}

/// The address in the log line that tells it, in either format.
fn listening(log: &str) -> Option<SocketAddr> {
    log.lines().filter(|line| line.contains("listening")).find_map(|line| {
        let (_, rest) = line.split_once("address=").or_else(|| line.split_once("\"address\":\""))?;
        rest.split(['"', ' ']).next()?.parse().ok()
    })
}
