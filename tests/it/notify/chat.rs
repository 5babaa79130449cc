//! Kills told in chats, and the bot of the documentation that asks for them from one.

use std::{
    collections::VecDeque,
    process::Stdio,
    sync::{Arc, Mutex},
};

use actix_web::http::Method;
use aws_lc_rs::hmac;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Place, demo as world},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::{
    client::kit::{ALL, request_of, statuses},
    notify::metric,
    support::{
        gateway::{Answer, Client, Engine, Gateway, Setup, kill_of},
        patience::eventually,
    },
};

/// A chat that takes messages: answers as it was told, one after the other, and with `ok` from then on.
#[derive(Debug, Clone)]
struct Chat {
    url: String,
    /// Path and body of each.
    messages: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Chat {
    async fn answering(answers: impl IntoIterator<Item = (u16, &'static str)>, usually: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let chat = Self { url, messages: Arc::default(), answers: Arc::new(Mutex::new(answers.into_iter().collect())) };
        let listening = chat.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let Some(request) = request_of(&mut connection).await else { continue };
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let body = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
                let (status, answer) = listening.answers.lock().unwrap().pop_front().unwrap_or((200, usually));
                listening.messages.lock().unwrap().push((path, body));
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
                let _ = connection.write_all((head + answer).as_bytes()).await;
            }
        });
        chat
    }

    async fn got(&self, count: usize) -> Vec<(String, Value)> {
        let enough = async || Some(self.messages.lock().unwrap().clone()).filter(|messages| messages.len() >= count);
        let got = eventually(&format!("{count} messages"), enough).await;
        assert_eq!(got.len(), count, "{got:?}");
        got
    }
}

async fn gateway(section: &str) -> Gateway {
    Gateway::start_with(Engine::Sqlite, Setup { more: section.to_owned(), ..Setup::default() }).await
}

fn counted(result: &str) -> String {
    format!("killgate_webhook_deliveries_total{{webhook=\"oncall\",result=\"{result}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_chat_is_told_in_its_own_form() {
    for (format, answer, at) in [
        ("slack", "ok", "/blocks/1/text/text"),
        ("teams", "", "/attachments/0/content/body/1/inlines/0/text"),
        ("feishu", r#"{"code":0}"#, "/card/elements/0/text/content"),
        ("dingtalk", r#"{"errcode":0}"#, "/text/content"),
    ] {
        let chat = Chat::answering([], answer).await;
        let url = format!("{}?access_token=canary", chat.url);
        let gateway = gateway(&format!("[webhooks.oncall]\nformat = '{format}'\nurl = '{url}'\n")).await;
        let kill = gateway.kill(&kill_of("orders-ro", &[2_075_425, 99])).await;
        let [(path, body)] = chat.got(1).await.try_into().unwrap();
        assert!(path.starts_with("/hook?access_token=canary"), "{path}");
        let said = body.pointer(at).unwrap_or_else(|| panic!("{format}: {body}")).as_str().unwrap();
        assert!(said.contains("by chatops-bot"), "{format}: {said}");
        for part in ["succeeded, 2 sessions at orders-ro", "2075425 of report: killed", "99: not_found", kill.kill_id()]
        {
            assert!(body.to_string().contains(part), "{format}, {part}: {body}");
        }
        assert!(!body.to_string().contains("order_lines"), "no statement: {body}");
        let told = async || (metric(&gateway, &counted("delivered")).await == 1).then_some(());
        eventually("it is counted", told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_inside_of_200_is_tried_again_and_one_of_400_is_not() {
    let chat = Chat::answering([(200, r#"{"code":11232,"msg":"frequency limited"}"#)], r#"{"code":0}"#).await;
    let section = format!("[webhooks.oncall]\nformat = 'feishu'\nsecret = 'demo'\nurl = '{}'\n", chat.url);
    let feishu = gateway(&section).await;
    feishu.kill(&kill_of("ledger", &[10_180])).await;
    let messages = chat.got(2).await;
    assert!(messages.iter().all(|(_, body)| body["sign"].is_string() && body["timestamp"].is_string()), "{messages:?}");
    assert_eq!(metric(&feishu, &counted("failed")).await, 1);
    let chat = Chat::answering([(404, "no_service")], "ok").await;
    let slack = gateway(&format!("[webhooks.oncall]\nformat = 'slack'\nurl = '{}'\n", chat.url)).await;
    slack.kill(&kill_of("ledger", &[10_180])).await;
    let given_up = async || (metric(&slack, &counted("given_up")).await == 1).then_some(());
    eventually("it is given up", given_up).await;
    chat.got(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_told_of_its_statuses_and_vendors_and_of_no_typo() {
    let chat = Chat::answering([], "ok").await;
    let section = format!(
        "[webhooks.oncall]\nformat = 'slack'\nurl = '{}'\nstatus = ['failed', 'partial']\nvendors = ['taurusdb', 'dcdb']\n",
        chat.url
    );
    let gateway = gateway(&section).await;
    // Its status is not wanted.
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    // Nor its vendor.
    gateway.clouds.misbehave(Action::GaussdbKill, Behaviour::Deny);
    gateway.kill(&kill_of("ledger", &[10_180])).await;
    // Typos: no such alias, an id that is none, no reason.
    gateway.kill(&kill_of("orders-r", &[1])).await;
    for body in [
        json!({ "target": "orders-ro", "select": { "ids": ["x"] }, "reason": "INC" }),
        json!({ "target": "orders-ro", "select": { "ids": ["1"] } }),
    ] {
        assert_eq!(gateway.kill(&body).await.status.as_u16(), 422);
    }
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Deny);
    let failed = gateway.kill(&kill_of("orders-ro", &[2_075_433])).await;
    let [(_, body)] = chat.got(1).await.try_into().unwrap();
    assert!(body.to_string().contains(failed.kill_id()), "{body}");
    let left = async || {
        let owed: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_deliveries")
            .fetch_one(&sqlx::SqlitePool::connect(&crate::support::gateway::url_of(&gateway)).await.unwrap())
            .await
            .unwrap();
        (owed == 0).then_some(())
    };
    eventually("nothing is owed any more", left).await;
    chat.got(1).await;
}

/// The Python of the documentation, in the order in which it stands there.
fn python() -> Vec<String> {
    let text = include_str!("../../../docs/chat.md");
    let blocks = text.split("```python\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// The bot of the documentation.
struct Bot {
    client: Client,
    process: Child,
}

const SIGNING: &str = "the-signing-secret-of-an-app";

impl Bot {
    async fn of(gateway: &Gateway) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", &python()[0]]).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("KILLGATE_URL", format!("http://{}", gateway.app.address())).env("PORT", "0");
        command.env("KILLGATE_TOKEN", Gateway::token("slack-bot", ALL)).env("SLACK_SIGNING_SECRET", SIGNING);
        let mut process = command.spawn().expect("python3");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
        Self { client: Client::new(([127, 0, 0, 1], port).into()), process }
    }

    async fn told(&self, form: &[(&str, &str)], seconds_off: i64, secret: &str) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let at = (Clock::system().now().unix_timestamp() + seconds_off).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let sign = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
        let sign = format!("v0={}", killgate::chain::hex(sign.as_ref()));
        let headers = [("X-Slack-Request-Timestamp", at.as_str()), ("X-Slack-Signature", sign.as_str())];
        self.client.send(Method::POST, "/", &headers, body).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bot_of_the_documentation_previews_and_ends_what_its_button_shows() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let (bot, channel) = (Bot::of(&gateway).await, Chat::answering([], "ok").await);
    let asked = [("text", "orders-ro report INC-4711 it hangs"), ("user_id", "U1"), ("response_url", &channel.url)];
    for (seconds_off, secret) in [(0, "another-secret"), (-3600, SIGNING)] {
        assert_eq!(bot.told(&asked, seconds_off, secret).await.status.as_u16(), 401);
    }
    assert_eq!(bot.told(&asked, 0, SIGNING).await.status.as_u16(), 200);
    let [(_, preview)] = channel.got(1).await.try_into().unwrap();
    assert!(preview.to_string().contains("2075425 report alive"), "{preview}");
    assert_eq!(statuses(&gateway).await, ["preview"]);
    let id = preview["blocks"][1]["elements"][0]["value"].clone();
    let press = |user: &str| {
        json!({ "user": { "id": user }, "response_url": channel.url, "actions": [{ "value": id }] }).to_string()
    };
    // Only whoever asked may press.
    for (user, told) in [("U2", 1), ("U1", 2), ("U1", 3)] {
        assert_eq!(bot.told(&[("payload", &press(user))], 0, SIGNING).await.status.as_u16(), 200);
        // Pressed again it is the same kill.
        let messages = channel.got(told).await;
        assert!(
            messages[1..].iter().all(|(_, body)| body.to_string().contains("2075425 report killed")),
            "{messages:?}"
        );
    }
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
    let kill = &gateway.read("/kills?status=succeeded").await.body["items"][0];
    let who = (&kill["caller"], &kill["on_behalf_of"], &kill["reason"]);
    assert_eq!(who, (&json!("slack-bot"), &json!("U1"), &json!("INC-4711 it hangs")));
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    assert!(!gateway.clouds.alive(&place).contains(&2_075_425));
    drop(bot.process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signatures_of_the_documentation_are_checked_as_each_platform_makes_them() {
    let tests = r#"
now, body = str(int(time.time())), b'{"a": 1}'
token = base64.b64encode(b"key").decode()
teams = "HMAC " + base64.b64encode(hmac.new(b"key", body, hashlib.sha256).digest()).decode()
assert is_from_teams(token, {"Authorization": teams}, body)
assert not is_from_teams(token, {"Authorization": teams}, b"other") and not is_from_teams(token, {}, body)
lark = {"X-Lark-Request-Timestamp": now, "X-Lark-Request-Nonce": "n"}
lark["X-Lark-Signature"] = hashlib.sha256((now + "n" + "key").encode() + body).hexdigest()
assert is_from_feishu("key", lark, body)
assert not is_from_feishu("key", lark, b"other") and not is_from_feishu("key", {}, body)
assert not is_from_feishu("key", {**lark, "X-Lark-Request-Timestamp": "1"}, body)
at = str(int(time.time() * 1000))
sign = base64.b64encode(hmac.new(b"key", (at + "\nkey").encode(), hashlib.sha256).digest()).decode()
assert is_from_dingtalk("key", {"timestamp": at, "sign": sign}, body)
assert not is_from_dingtalk("key2", {"timestamp": at, "sign": sign}, body) and not is_from_dingtalk("key", {}, body)
"#;
    let code = format!("{}\n{tests}", python()[1]);
    let output = Command::new("python3").args(["-c", &code]).output().await.expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
