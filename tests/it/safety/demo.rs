//! What `killgate demo` prints can be pasted and works.

use actix_web::http::Method;
use url::Url;

use super::process::Process;
use crate::support::{
    gateway::{Answer, Client},
    patience::eventually,
};

/// One line that begins with `curl`, taken apart.
#[derive(Debug, Clone)]
struct Curl {
    about: String,
    url: Url,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Curl {
    async fn run(&self) -> Answer {
        let address = format!("{}:{}", self.url.host_str().unwrap(), self.url.port().unwrap());
        let path = &self.url[url::Position::BeforePath..];
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = if self.body.is_some() { Method::POST } else { Method::GET };
        Client::new(address.parse().unwrap()).send(method, path, &headers, self.body.clone().unwrap_or_default()).await
    }
}

/// The words of a shell line: parted at spaces, held together by quotes, `$NAME` filled in but for single quotes.
fn words(line: &str, variables: &[(String, String)]) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            // Stands for a dollar that the shell leaves alone.
            (Some('\''), '$') => word.push('\0'),
            _ => word.push(c),
        }
    }
    words.push(word);
    let filled = |word: String| {
        let filled = variables.iter().fold(word, |word, (name, value)| word.replace(&format!("${name}"), value));
        filled.replace('\0', "$")
    };
    words.into_iter().filter(|word| !word.is_empty()).map(filled).collect()
}

/// Every curl line of the guide, with the comment above it.
fn curls(guide: &str) -> Vec<Curl> {
    let (mut curls, mut variables, mut about) = (vec![], vec![], String::new());
    for line in guide.replace("\\\n", " ").lines() {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
            variables.push((name.to_owned(), value.to_owned()));
        } else if let Some(text) = line.strip_prefix("# ") {
            text.clone_into(&mut about);
        } else if line.contains("curl ") {
            // What is kept for a later line is the same call.
            let line = line.strip_prefix("PREVIEW=$(").and_then(|line| line.split_once(");")).map_or(line, |it| it.0);
            let mut curl =
                Curl { about: about.clone(), url: "http://none".parse().unwrap(), headers: vec![], body: None };
            let mut words = words(line, &variables).into_iter().skip(1);
            while let Some(word) = words.next() {
                match word.as_str() {
                    "-s" => {}
                    "-H" => {
                        let header = words.next().unwrap();
                        let (name, value) = header.split_once(": ").unwrap();
                        // Nobody knows how long the machine takes; who waits longer is told the same.
                        let value = if value == "wait=5" { "wait=300" } else { value };
                        curl.headers.push((name.to_owned(), value.to_owned()));
                    }
                    "-d" => curl.body = words.next(),
                    url => curl.url = url.parse().unwrap_or_else(|_| panic!("{url} in {line}")),
                }
            }
            curls.push(curl);
        }
    }
    curls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_demo_does_what_it_says_and_ctrl_c_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(&["demo", "--listen", "127.0.0.1:0"], directory.path(), &[]);
    let guide = eventually("the guide", async || Some(process.stdout()).filter(|said| said.contains("Ctrl-C"))).await;
    let curls = curls(&guide);
    assert_eq!(curls.len(), 16, "{guide}");
    let sessions = curls[0].run().await;
    let listed = sessions.body["items"].as_array().unwrap_or_else(|| panic!("{}", sessions.body));
    assert!(listed.iter().any(|session| session["id"] == "2075425"), "{}", sessions.body);
    let preview = curls[1].run().await;
    assert_eq!((preview.status.as_u16(), &preview.body["status"]), (200, &"preview".into()), "{}", preview.body);
    let mut confirmed = curls[2].clone();
    confirmed.body = confirmed.body.map(|body| body.replace("$CONFIRM", preview.body["confirm"].as_str().unwrap()));
    let killed = confirmed.run().await;
    assert_eq!((killed.status.as_u16(), &killed.body["status"]), (200, &"succeeded".into()), "{}", killed.body);
    assert_eq!(killed.body["confirms"], preview.body["id"]);
    assert!(killed.body["verified_at"].is_string(), "{}", killed.body);
    let expected = [
        ("GaussDB", 200, "succeeded"),
        ("a session that lives", 200, "partial"),
        ("the database picks", 200, "succeeded"),
        ("RDS", 202, "accepted"),
        ("DAS", 202, "accepted"),
        ("DCDB", 200, "succeeded"),
        ("TDSQL", 200, "succeeded"),
        ("by instance", 200, "succeeded"),
        ("DBbrain", 200, "succeeded"),
        ("Alibaba", 200, "succeeded"),
        ("does not exist", 404, ""),
    ];
    for (curl, (about, status, word)) in curls[3..].iter().zip(expected) {
        assert!(curl.about.contains(about), "{curl:?}");
        let answer = curl.run().await;
        assert_eq!(answer.status.as_u16(), status, "{curl:?}: {}", answer.body);
        if !word.is_empty() {
            assert_eq!(answer.body["status"], word, "{curl:?}: {}", answer.body);
        }
    }
    let history = curls[14].run().await;
    assert_eq!(history.body["items"].as_array().map(Vec::len), Some(10), "as many as it asks for: {}", history.body);
    let sessions = curls[15].run().await;
    assert_eq!(sessions.status.as_u16(), 200);

    let record = guide.split_whitespace().skip_while(|word| *word != "record").nth(1).unwrap();
    assert!(std::path::Path::new(record).exists(), "{record}");
    process.signal("INT");
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the record is removed");
}

/// A full disk, or a reader of the log that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_log_cannot_be_written_goes_on_without() {
    let directory = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let process = Process::start_telling(&["demo", "--listen", "127.0.0.1:0"], directory.path(), &[], full.into());
    let guide = eventually("the guide", async || Some(process.stdout()).filter(|said| said.contains("Ctrl-C"))).await;
    // Each has a line of its own in the log.
    for curl in &curls(&guide)[3..6] {
        let answer = curl.run().await;
        assert_eq!(answer.status.as_u16(), 200, "{curl:?}: {}", answer.body);
    }
    process.signal("INT");
    assert_eq!(process.ended().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_does_what_the_environment_says() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("mine.db").display().to_string();
    let env = [
        ("KILLGATE__SERVER__LISTEN", "127.0.0.1:0"),
        ("KILLGATE__AUDIT__SQLITE_PATH", record.as_str()),
        ("KILLGATE__TARGETS__LEDGER__CALLERS", "dba"),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/elsewhere"),
    ];
    let process = Process::start(&["demo"], directory.path(), &env);
    let guide = eventually("the guide", async || Some(process.stdout()).filter(|said| said.contains("Ctrl-C"))).await;
    assert!(!guide.contains("http://127.0.0.1:8080"), "{guide}");
    assert!(guide.contains(&format!("record {record}")), "{guide}");
    let refused = curls(&guide)[3].run().await;
    assert_eq!(refused.status.as_u16(), 403, "{}", refused.body);
    process.signal("INT");
    assert_eq!(process.ended().await.status.code(), Some(0));
    assert!(std::path::Path::new(&record).exists(), "a record that was named is kept");
}
