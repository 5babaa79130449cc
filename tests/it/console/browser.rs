//! Chromium, driven by WebDriver: what a person would do, and what a person would see.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use actix_web::http::Method;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::support::{gateway::Client, patience::eventually};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-browser.sh");
/// One browser at a time: each has several processes.
static SEATS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(1));
/// The keys that W3C's WebDriver has in its private part of Unicode.
pub(super) const ESCAPE: &str = "\u{e00c}";
pub(super) const END: &str = "\u{e010}";
pub(super) const DOWN: &str = "\u{e015}";

/// A browser with one page and a profile of its own; both go with it.
#[derive(Debug)]
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    folder: TempDir,
    _seat: SemaphorePermit<'static>,
}

/// What the script prints, a line each; `None` where it says that it cannot be had.
pub(super) fn script(what: &str) -> Option<Vec<String>> {
    let told = Command::new(SCRIPT).arg(what).output().expect("the script");
    if told.status.code() == Some(3) {
        return None;
    }
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    Some(String::from_utf8_lossy(&told.stdout).lines().map(str::to_owned).collect())
}

/// The paths of Chromium and its driver.
async fn paths() -> &'static [String] {
    static PATHS: OnceCell<Vec<String>> = OnceCell::const_new();
    let find = async || tokio::task::spawn_blocking(|| script("browser")).await.unwrap().unwrap();
    PATHS.get_or_init(find).await
}

impl Browser {
    /// 1,280 by 800 pixels, in a light room.
    pub(super) async fn start() -> Self {
        let seat = SEATS.acquire().await.unwrap();
        let [browser, driver] = paths().await else { panic!("two paths") };
        let folder = tempfile::tempdir().unwrap();
        let (driver, port) = driving(driver).await;
        let client = Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut it = Self { driver, port, session: String::new(), client, folder, _seat: seat };
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--lang=en-US",
        ];
        let profile = format!("--user-data-dir={}", it.folder.path().join("profile").display());
        let flags: Vec<_> = flags.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "binary": browser, "args": flags }, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        // One that is too slow to start is given up by its driver.
        let made = async || it.call(Method::POST, "/session", wanted.clone()).await.ok();
        let made = eventually("a browser", made).await;
        it.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        it.size(1280, 800).await;
        it.room("light").await;
        it
    }

    /// What the driver answers, or why it did not do it.
    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let body = if method == Method::POST { body.to_string() } else { String::new() };
        let path = format!("{}{path}", self.session);
        let answer = self.client.send(method, &path, &[("Content-Type", "application/json")], body).await;
        if answer.status.is_success() { Ok(answer.body["value"].clone()) } else { Err(answer.body.to_string()) }
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.call(Method::POST, "/goog/cdp/execute", body).await.unwrap()
    }

    /// The pixels of the page; 390 is a telephone.
    pub(super) async fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// `light` or `dark`.
    pub(super) async fn room(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    pub(super) async fn open(&self, url: &str) {
        self.call(Method::POST, "/url", json!({ "url": url })).await.unwrap();
    }

    /// Loads the page anew.
    pub(super) async fn reload(&self) {
        self.call(Method::POST, "/refresh", json!({})).await.unwrap();
    }

    /// What a function's body returns in the page.
    pub(super) async fn js(&self, body: &str) -> Value {
        self.try_js(body).await.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    async fn try_js(&self, body: &str) -> Result<Value, String> {
        self.call(Method::POST, "/execute/sync", json!({ "script": body, "args": [] })).await
    }

    /// The same, once it is something: neither null nor false, nor 0 or empty.
    pub(super) async fn until(&self, body: &str) -> Value {
        let is_something =
            |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && *value != 0 && *value != "";
        let seen = self.try_js("return document.body?.innerText").await.unwrap_or_default();
        let what = format!("{body} in\n{}", seen.as_str().unwrap_or_default());
        eventually(&what, async || self.try_js(body).await.ok().filter(is_something)).await
    }

    /// What can be read in an element; empty where there is none.
    pub(super) async fn text(&self, css: &str) -> String {
        let body = format!("return document.querySelector({})?.innerText ?? ''", json!(css));
        self.js(&body).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until that can be read in an element.
    pub(super) async fn sees(&self, css: &str, text: &str) {
        let element = format!("document.querySelector({})", json!(css));
        self.until(&format!("return {element}?.innerText.includes({})", json!(text))).await;
    }

    /// How many elements there are.
    pub(super) async fn count(&self, css: &str) -> u64 {
        self.js(&format!("return document.querySelectorAll({}).length", json!(css))).await.as_u64().unwrap()
    }

    async fn on(&self, css: &str, command: &str, body: &Value) {
        eventually(&format!("{command} {css}"), async || {
            let wanted = json!({ "using": "css selector", "value": css });
            let found = self.call(Method::POST, "/element", wanted).await.ok()?;
            let id = found.as_object()?.values().next()?.as_str()?.to_owned();
            self.call(Method::POST, &format!("/element/{id}/{command}"), body.clone()).await.ok()
        })
        .await;
    }

    /// Clicks as a person does: on what can be seen, and not on what lies before it.
    pub(super) async fn click(&self, css: &str) {
        self.on(css, "click", &json!({})).await;
    }

    /// Types, with the keys above too.
    pub(super) async fn write(&self, css: &str, text: &str) {
        self.on(css, "value", &json!({ "text": text })).await;
    }

    /// Types to whatever has the keyboard.
    pub(super) async fn press(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }));
        let actions: Vec<_> = keys.chars().flat_map(press).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call(Method::POST, "/actions", body).await.unwrap();
    }

    /// What was complained of since the last time: scripts that failed, rules of the policy that were broken.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let said = self.call(Method::POST, "/se/log", json!({ "type": "browser" })).await.unwrap();
        let said = said.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned());
        // What the gateway refuses is told there too.
        said.filter(|line| !line.contains("Failed to load resource")).collect()
    }

    pub(super) async fn picture(&self, file: &Path) {
        let picture = self.call(Method::GET, "/screenshot", Value::Null).await.unwrap();
        fs::write(file, BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// Files that pages save go into a folder of the browser's own.
    pub(super) async fn keep_files(&self) -> PathBuf {
        let folder = self.folder.path().join("files");
        fs::create_dir_all(&folder).unwrap();
        self.devtools("Browser.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": folder })).await;
        folder
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes the browser's processes with it if it is asked, and leaves them if it is killed.
        if let Ok(mut driver) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let ask = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", self.session);
            let patience = driver.set_read_timeout(Some(Duration::from_mins(1)));
            if patience.is_ok() && driver.write_all(ask.as_bytes()).is_ok() {
                // It answers once that is done, and keeps the connection.
                let _ = driver.read(&mut [0; 1024]);
            }
        }
        self.driver.kill().unwrap_or_default();
        self.driver.wait().expect("a child");
    }
}

/// A driver that listens, and where. It takes a free port of the one network and then the same of the other, and ends if that
/// is somebody else's: so it is tried again.
async fn driving(program: &str) -> (Child, u16) {
    for _ in 0..10 {
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let said = driver.stdout.take().unwrap();
        if let Some(port) = tokio::task::spawn_blocking(|| port_in(BufReader::new(said))).await.unwrap() {
            return (driver, port);
        }
        driver.wait().expect("a child");
    }
    panic!("the driver ends before it listens, each time");
}

/// The port that a driver says it listens on; what it says afterwards is read and dropped. `None` if it ended before.
fn port_in(mut said: impl BufRead + Send + 'static) -> Option<u16> {
    let mut line = String::new();
    loop {
        line.clear();
        if said.read_line(&mut line).expect("text") == 0 {
            return None;
        }
        if let Some((_, port)) = line.split_once("successfully on port ") {
            thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return Some(port.trim().trim_end_matches('.').parse().expect("a port"));
        }
    }
}
