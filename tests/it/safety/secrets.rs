//! Rule 4: whatever happens, no secret, token or signature is in a log, an answer, a metric, a `Debug` or the record.

use std::fmt::Write as _;

use killgate::sandbox::{Action, Behaviour, Canned, Clouds, HuaweiCustomer, Sandbox, TencentCustomer, demo as world};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, QueryBuilder};

use super::{Operation, echoes, operations, process::Served};
use crate::support::{
    collector::{Collector, Mood},
    configuration::BLIND,
    gateway::{Answer, Engine, Gateway, JWT_SECRET, Setup},
    patience::eventually,
    postgres::Cluster,
};

const ACCESS_KEY: &str = "CANARYACCESSKEY00001";
const SECRET_KEY: &str = "canary-huawei-secret-key-000000001";
const SECURITY_TOKEN: &str = "canary/huawei+security/token==";
const PASSWORD: &str = "canary-iam-password";
const SECRET_ID: &str = "AKIDcanary0000000000000000000000001";
const TENCENT_KEY: &str = "canary-tencent-secret-key-00001";
const TENCENT_TOKEN: &str = "canary/tencent+token==";
const WEBHOOK_SECRET: &str = "canary-webhook-secret-000000001";
const COLLECTOR_SECRET: &str = "canary-collector-secret-00001";
const CONFIGURED: [&str; 10] = [
    ACCESS_KEY,
    SECRET_KEY,
    SECURITY_TOKEN,
    PASSWORD,
    SECRET_ID,
    TENCENT_KEY,
    TENCENT_TOKEN,
    JWT_SECRET,
    WEBHOOK_SECRET,
    COLLECTOR_SECRET,
];

fn clouds() -> Clouds {
    let clouds = Clouds::demo();
    clouds.set_huawei(HuaweiCustomer {
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
        security_token: Some(SECURITY_TOKEN.into()),
        password: PASSWORD.into(),
        ..world::huawei_customer()
    });
    clouds.set_tencent(TencentCustomer {
        secret_id: SECRET_ID.into(),
        secret_key: TENCENT_KEY.into(),
        token: Some(TENCENT_TOKEN.into()),
    });
    clouds
}

/// Canaries wherever a secret can stand.
fn accounts() -> String {
    let (region, project) = (world::HUAWEI_REGION, world::HUAWEI_PROJECT_ID);
    let mut text = format!(
        r#"
        [accounts.huawei-test]
        cloud = "huawei"
        region = "{region}"
        project_id = "{project}"
        access_key = "{ACCESS_KEY}"
        secret_key = "{SECRET_KEY}"
        security_token = "{SECURITY_TOKEN}"
        endpoints = {{ gaussdb = "{{clouds}}", das = "{{clouds}}", taurusdb = "{{clouds}}" }}
        [accounts.huawei-user]
        cloud = "huawei"
        region = "{region}"
        project_id = "{project}"
        iam = {{ domain = "{}", username = "{}", password = "{PASSWORD}" }}
        endpoints = {{ gaussdb = "{{clouds}}", iam = "{{clouds}}" }}
        [accounts.huawei-machine]
        cloud = "huawei"
        region = "{region}"
        project_id = "{project}"
        keys = {{ from = "ecs-agency", endpoint = "{{clouds}}" }}
        endpoints = {{ gaussdb = "{{clouds}}" }}
        [accounts.tencent-role]
        cloud = "tencent"
        region = "{}"
        secret_id = "{SECRET_ID}"
        secret_key = "{TENCENT_KEY}"
        token = "{TENCENT_TOKEN}"
        assume_role = {{ role_arn = "{}", role_session_name = "killgate", external_id = "{}" }}
        endpoints = {{ dcdb = "{{clouds}}", sts = "{{clouds}}" }}
        [accounts.tencent-test]
        cloud = "tencent"
        region = "{}"
        secret_id = "{SECRET_ID}"
        secret_key = "{TENCENT_KEY}"
        token = "{TENCENT_TOKEN}"
        endpoints.dcdb = "{{clouds}}"
        [webhooks.portal]
        url = "{{clouds}}/hooks"
        secret = "{WEBHOOK_SECRET}"
        [traces]
        headers.authorization = "Bearer {COLLECTOR_SECRET}"
        "#,
        world::HUAWEI_DOMAIN,
        world::HUAWEI_USERNAME,
        world::TENCENT_REGION,
        world::TENCENT_ROLE_ARN,
        world::TENCENT_EXTERNAL_ID,
        world::TENCENT_REGION,
    );
    for vendor in ["gaussdb", "das", "taurusdb"] {
        write!(text, "[vendors.{vendor}]\nrequests_per_second = 1000\nrequests_per_minute = 0\nmax_wait_ms = 400\ntimeout_ms = 2000\n").unwrap();
    }
    text + "[vendors.dcdb]\nmax_wait_ms = 400\ntimeout_ms = 2000\n"
}

/// The secrets that such a call goes out with.
fn sent_with(action: Action) -> [&'static str; 3] {
    if action == Action::DcdbKill {
        [SECRET_ID, TENCENT_KEY, TENCENT_TOKEN]
    } else {
        [ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN]
    }
}

/// A gateway to be observed, and all that it answered.
struct Observed {
    served: Served,
    sandbox: Sandbox,
    collector: Collector,
    heard: String,
    tokens: Vec<String>,
}

impl Observed {
    fn hear(&mut self, answer: &Answer) {
        writeln!(self.heard, "{} {:?} {}", answer.status, answer.headers, answer.body).unwrap();
    }

    async fn kill(&mut self, body: &Value) -> Answer {
        let token = Gateway::token("chatops-bot", "sessions:kill");
        let answer = self.served.client.post("/sessions/kill", &token, &[], body.to_string()).await;
        self.hear(&answer);
        self.tokens.push(token);
        answer
    }

    async fn read(&mut self, path: &str) {
        let token = Gateway::token("auditor", "kills:read sessions:read");
        let answer = self.served.client.get(path, &token).await;
        self.hear(&answer);
        self.tokens.push(token);
    }

    /// Asks for a kill until it goes well: a vendor that throttled or failed is left alone for a moment.
    async fn succeeds(&mut self, body: &Value) {
        let goes_well = async || self.kill(body).await.status.is_success().then_some(());
        eventually(&format!("{body} goes well"), goes_well).await;
    }

    /// Makes the call of that kill meet each of these, with a good one now and then.
    async fn meets(&mut self, operation: &Operation, behaviours: Vec<Behaviour>) {
        for behaviour in behaviours {
            self.sandbox.clouds.misbehave_times(1, operation.action, behaviour);
            self.kill(&operation.body).await;
        }
        self.sandbox.clouds.behave();
    }

    /// Everything that must not be seen: what is configured, what was sent with calls, and the callers' tokens.
    fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> = CONFIGURED.map(str::to_owned).into();
        for call in self.sandbox.clouds.calls() {
            let token = call.headers.value("x-auth-token").map(str::to_owned);
            let signature = call.headers.value("authorization").and_then(|text| text.rsplit_once("Signature="));
            secrets.extend(token.into_iter().chain(signature.map(|(_, signature)| signature.to_owned())));
            secrets.extend(call.headers.value("webhook-signature").map(str::to_owned));
        }
        secrets.extend(self.sandbox.clouds.temporary_secrets());
        secrets.extend(self.tokens.iter().filter_map(|token| Some(token.rsplit_once('.')?.1.to_owned())));
        let encoded = |secret: &String| secret.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
        secrets.extend(secrets.iter().map(encoded).collect::<Vec<_>>());
        secrets
    }
}

fn assert_none(secrets: &[String], place: &str, text: &str) {
    assert!(!text.is_empty(), "{place} is empty");
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            let from = (0..=at.saturating_sub(300)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            panic!("{secret} is in {place}: {}", &text[from..at + secret.len()]);
        }
    }
}

/// Everything that may go well or wrong, then the whole of what was said about it.
async fn observe(audit: &str, format: &str, filter: &str) -> Observed {
    let sandbox = Sandbox::start(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), clouds()).unwrap();
    let collector = Collector::start(Mood::Takes).await;
    let spans = collector.url();
    let env = [
        ("KILLGATE__SERVER__LOG__FORMAT", format),
        ("KILLGATE__SERVER__LOG__FILTER", filter),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &spans),
    ];
    let served = Served::start_with(audit, &sandbox.url, &format!("{BLIND}{}", accounts()), &env).await;
    let mut observed = Observed { served, sandbox, collector, heard: String::new(), tokens: vec![] };
    let clouds = observed.sandbox.clouds.clone();

    for operation in operations() {
        observed.succeeds(&operation.body).await;
        let mut met = vec![Behaviour::Deny, Behaviour::Garble, Behaviour::Truncate, Behaviour::Drop];
        met.extend(sent_with(operation.action).iter().flat_map(|secret| echoes::of(operation.action, secret)));
        observed.meets(&operation, met).await;
    }
    for operation in operations() {
        let met = sent_with(operation.action).map(|secret| echoes::throttled(operation.action, secret));
        observed.meets(&operation, met.into()).await;
    }

    let target = json!({
        "vendor": "gaussdb", "account": "huawei-user", "instance_id": world::GAUSSDB_INSTANCE,
        "node_id": world::GAUSSDB_NODE, "component_id": world::GAUSSDB_COMPONENT,
    });
    let body = crate::support::gateway::kill_of(target, &[10_180]);
    let as_user = Operation { action: Action::GaussdbKill, body, sessions: 1 };
    observed.succeeds(&as_user.body).await;
    let calls = clouds.calls_for(Action::GaussdbKill);
    let token = calls.iter().find_map(|call| call.headers.value("x-auth-token")).expect("a token was sent");
    for secret in [PASSWORD, token] {
        observed.meets(&as_user, echoes::of(Action::GaussdbKill, secret)).await;
    }
    with_temporary_keys(&mut observed).await;
    clouds.revoke_tokens();
    let mut refused_logins = echoes::of(Action::GaussdbKill, PASSWORD);
    clouds.misbehave(Action::IamToken, refused_logins.remove(1));
    observed.kill(&as_user.body).await;
    clouds.behave();
    observed.read("/kills?limit=500").await;
    let told = |clouds: &Clouds| clouds.calls().iter().any(|call| call.headers.value("webhook-signature").is_some());
    assert!(told(&clouds), "a webhook was told");
    observed
}

/// Keys that the clouds give for a while are echoed, by the vendors and by those who give them.
async fn with_temporary_keys(observed: &mut Observed) {
    let clouds = observed.sandbox.clouds.clone();
    let machine = json!({
        "vendor": "gaussdb", "account": "huawei-machine", "instance_id": world::GAUSSDB_INSTANCE,
        "node_id": world::GAUSSDB_NODE, "component_id": world::GAUSSDB_COMPONENT,
    });
    let role = json!({
        "vendor": "dcdb", "account": "tencent-role", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SHARD,
    });
    for (target, id, action, source) in
        [(machine, 10_181, Action::GaussdbKill, Action::EcsKeys), (role, 1113, Action::DcdbKill, Action::StsAssumeRole)]
    {
        let before = clouds.temporary_secrets();
        let operation = Operation { action, body: crate::support::gateway::kill_of(target, &[id]), sessions: 1 };
        observed.succeeds(&operation.body).await;
        // Keys come first, and then what they were asked with.
        let given: Vec<_> = clouds.temporary_secrets().into_iter().filter(|secret| !before.contains(secret)).collect();
        let of_keys = given.get(..3).expect("temporary keys were given");
        for secret in of_keys {
            observed.meets(&operation, echoes::of(action, secret)).await;
        }
        // And what gives them answers with everything it has.
        clouds.revoke_keys();
        clouds.misbehave(source, Behaviour::Status(Canned::json(200, &of_keys.join(" "))));
        observed.kill(&operation.body).await;
        clouds.misbehave(source, Behaviour::Status(Canned::json(403, &of_keys.join(" "))));
        observed.kill(&operation.body).await;
        clouds.behave();
    }
}

/// The true refusal of a wrong signature: the vendor echoes the whole canonical request.
async fn a_wrong_signature(observed: &mut Observed) {
    let clouds = observed.sandbox.clouds.clone();
    let known = clouds.huawei();
    clouds.set_huawei(HuaweiCustomer { secret_key: "another".into(), ..known });
    for operation in operations() {
        observed.kill(&operation.body).await;
    }
    assert!(clouds.calls().iter().any(|call| call.code.as_deref() == Some("APIGW.0301")));
    let garbage = observed.served.client.get("/kills", "not.a.token").await;
    observed.hear(&garbage);
    for path in ["/kills?limit=500", "/vendors", "/targets", "/metrics", "/readyz", "/nowhere"] {
        observed.read(path).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_by_a_gateway_on_sqlite_that_logs_everything() {
    let home = tempfile::tempdir().unwrap();
    let audit = format!("sqlite_path = \"{}\"", home.path().join("killgate.db").display());
    let mut observed = observe(&audit, "human", "trace").await;
    a_wrong_signature(&mut observed).await;
    let secrets = observed.secrets();
    assert_none(&secrets, "an answer", &observed.heard);
    observed.served.process.signal("TERM");
    let ended = observed.served.process.ended().await;
    assert!(ended.stderr.contains("kill"), "{}", ended.stderr);
    assert_none(&secrets, "a span", &told(&observed.collector));
    assert_none(&secrets, "the log", &(ended.stdout + &ended.stderr));
    let files = std::fs::read_dir(home.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert_none(&secrets, "the record", &String::from_utf8_lossy(&bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_by_a_gateway_on_postgres_that_logs_json() {
    let cluster = Cluster::start();
    let mut observed = observe(&format!("database_url = \"{}\"", cluster.url()), "json", "info,killgate=trace").await;
    a_wrong_signature(&mut observed).await;
    let record = dump(cluster.url()).await;
    assert!(record.contains("runaway report"));
    tokio::task::block_in_place(|| cluster.stop());
    observed.read("/readyz").await;
    observed.kill(&operations()[0].body).await;

    let mut secrets = observed.secrets();
    let (_, password) = cluster.url().split_once("killgate:").unwrap();
    secrets.push(password.split_once('@').unwrap().0.to_owned());
    assert_none(&secrets, "an answer", &observed.heard);
    assert_none(&secrets, "the record", &record);
    observed.served.process.signal("TERM");
    let ended = observed.served.process.ended().await;
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "kill"));
    assert_none(&secrets, "a span", &told(&observed.collector));
    assert_none(&secrets, "the log", &ended.stderr);
}

/// All that the collector was told, which had to be sent a secret for it.
fn told(collector: &Collector) -> String {
    let (heads, bodies): (Vec<_>, Vec<_>) = collector.posts().into_iter().unzip();
    assert!(heads.concat().contains(COLLECTOR_SECRET), "it was sent");
    String::from_utf8_lossy(&bodies.concat()).into_owned()
}

/// Every column of every row of every table.
async fn dump(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    assert!(tables.len() > 4);
    let mut text = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let mut query = QueryBuilder::<sqlx::Postgres>::new(sql);
        text += &query.build_query_scalar::<String>().fetch_one(&mut connection).await.unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_debug_form_of_anything() {
    let setup = Setup { more: accounts(), clouds: Some(clouds()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(Engine::Sqlite, setup).await;
    let operation = &operations()[0];
    let answer = echoes::of(operation.action, SECURITY_TOKEN).remove(1);
    gateway.clouds.misbehave_times(1, operation.action, answer);
    gateway.kill(&operation.body).await;
    gateway.clouds.misbehave(Action::GaussdbKill, Behaviour::Status(Canned::json(200, SECRET_KEY)));
    gateway.kill(&operation.body).await;
    let shown = [format!("{:?}", gateway.config), format!("{:#?}", gateway.app), format!("{gateway:?}")];
    let secrets = CONFIGURED.map(str::to_owned);
    assert_none(&secrets, "a Debug", &shown.concat());
    assert_none(&secrets, "the summary", &gateway.config.summary().concat());
}
