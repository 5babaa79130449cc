//! `killgate demo`: simulated clouds, a gateway and an embedded record, in one process on one machine.

mod scene;
pub mod world;

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use self::scene::Scene;
use crate::{
    app::App,
    chain::{SealKey, hex},
    cli,
    clock::Clock,
    config::{self, Config, Database},
    sandbox::{Clouds, Sandbox, scenes},
    telemetry,
};

/// The demo's own secret: its tokens are good for this one process on loopback only.
const SECRET: &str = "only-for-the-demo-on-this-very-machine";
/// How long the printed tokens are good.
const TOKENS: Duration = Duration::from_hours(24);

/// Runs until Ctrl-C. Every key can be set in `env`, as for a gateway; `listen` goes before it.
///
/// # Errors
/// An address that is taken, a directory for the record that cannot be made, or what is wrong in `env`.
pub async fn demo(
    listen: Option<SocketAddr>,
    servers: Vec<String>,
    env: BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let mut scenes = vec![];
    for url in servers {
        scenes.push(Scene::open(&url).await?);
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let clouds = Clouds::demo();
    scenes::stage(&clouds);
    let sandbox = Sandbox::start(loopback, clouds).context("the simulated clouds cannot listen")?;
    let record = std::env::temp_dir().join(format!("killgate-demo-{}.db", std::process::id()));
    let accounts: String = scenes.iter().map(Scene::configuration).collect();
    let ended = match configuration(listen, env, &sandbox.url, &record, &accounts) {
        Ok(config) => run(&config, &sandbox.url, &scenes).await,
        Err(error) => Err(error),
    };
    for scene in scenes {
        scene.close().await;
    }
    sandbox.stop();
    for suffix in ["", "-wal", "-shm"] {
        let mut file = record.clone().into_os_string();
        file.push(suffix);
        // What is not there need not be removed, and the rest is in the temporary directory.
        let _ = std::fs::remove_file(file);
    }
    ended
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
async fn run(config: &Config, clouds: &str, scenes: &[Scene]) -> anyhow::Result<()> {
    telemetry::start(&config.server.log)?;
    let app = App::start(config, Clock::system()).await?;
    println!("{}", guide(config, app.address(), clouds, scenes)?);
    cli::stopped().await?;
    app.stop().await
}

/// A configuration for simulated clouds at `clouds`, with one alias for each vendor there, and `more` sections.
///
/// # Errors
/// What the configuration's own checks find.
pub fn configuration(
    listen: Option<SocketAddr>,
    mut env: BTreeMap<String, String>,
    clouds: &str,
    record: &Path,
    more: &str,
) -> anyhow::Result<Config> {
    // Whoever works on something else has this one set too, and the demo's kills belong into no record but its own.
    env.remove("DATABASE_URL");
    if listen.is_some() {
        env.retain(|name, _| !name.eq_ignore_ascii_case("KILLGATE__SERVER__LISTEN"));
    }
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    // Made for this one process: it is in its memory and nowhere else.
    let key = SealKey::generate().and_then(|key| key.base64()).context("a key to seal with")?;
    let text = format!(
        r#"
        [server]
        listen = "{listen}"
        log.filter = "warn,killgate=info"
        [audit]
        sqlite_path = "{record}"
        [seal]
        key = "{key}"
        [auth]
        issuer = "https://demo.invalid"
        audience = "killgate"
        hs256_secret = "{SECRET}"

        [access]
        coordinates = ["*"]

        [console]
        enabled = true

        {world}
        {more}
        "#,
        record = record.display(),
        key = key.expose_secret(),
        world = world::accounts_and_targets("demo", clouds),
    );
    Ok(config::parse(&text, env)?)
}

/// What to paste, and what it shows.
fn guide(config: &Config, address: SocketAddr, clouds: &str, scenes: &[Scene]) -> anyhow::Result<String> {
    let (record, url) = match &config.audit.database {
        Database::Sqlite(path) => (path.display().to_string(), format!("sqlite:{}", path.display())),
        // It may have a password in it.
        database @ Database::Postgres(_) => (database.place(), "$KILLGATE__AUDIT__DATABASE_URL".to_owned()),
    };
    let bot = cli::token(config, "chatops-bot", "sessions:kill", TOKENS)?;
    // It may do all of it.
    let dba = cli::token(config, "dba", "sessions:read sessions:kill kills:read kills:export", TOKENS)?;
    let auditor = cli::token(config, "auditor", "kills:read kills:export", TOKENS)?;
    let mut text = format!(
        "killgate demo: open this, and find out who blocks whom at billing:\n\n\
         http://{address}/#token={dba}\n\n\
         gateway http://{address}, documentation http://{address}/docs/, \
         simulated clouds {clouds}, record {record}\n\n\
         {SCENES}\n\
         Or paste these three lines first; the first token may do everything that is shown:\n\n\
         export DBA={dba}\n\
         export BOT={bot}\n\
         export AUDITOR={auditor}\n\
         \n# see before you kill: what has run for a minute, the longest first, without the literals\n\
         curl -s 'http://{address}/sessions?target=orders-ro&min_seconds=1m&order=longest' \
         -H \"Authorization: Bearer $DBA\"\n",
    );
    let kill = |prefer: &str, body: &str| {
        format!(
            "curl -s http://{address}/sessions/kill -H \"Authorization: Bearer $BOT\" \
             -H 'Content-Type: application/json'{prefer} \\\n  -d '{body}'"
        )
    };
    write!(
        text,
        "\n# preview: which sessions would be ended, and a confirm that is good for these alone; nothing is sent\n\
         PREVIEW=$({}); echo \"$PREVIEW\"\n\
         CONFIRM=$(echo \"$PREVIEW\" | sed 's/.*\"confirm\":\"\\([^\"]*\\)\".*/\\1/')\n\
         \n# confirm: it ends those. DAS tells nothing of each, so killgate looks until they are gone: verified_at\n{}\n",
        kill("", PREVIEWED),
        kill(WAIT, CONFIRMED),
    )?;
    for (about, prefer, body) in KILLS {
        write!(text, "\n# {about}\n{}\n", kill(prefer, body))?;
    }
    for scene in scenes {
        text.push_str(&scene.guide(address));
    }
    write!(
        text,
        "\n# the history, newest first\n\
         curl -s 'http://{address}/kills?limit=10' -H \"Authorization: Bearer $AUDITOR\"\n\
         \n# the sessions that live in the simulated clouds\n\
         curl -s {clouds}/_sandbox/sessions\n\
         \n# has anybody touched the record? (in another terminal)\n\
         DATABASE_URL={url} killgate audit verify --key {}\n\
         \nCtrl-C stops it and removes the record.",
        config.seal.key.as_ref().map(|key| hex(&key.public())).unwrap_or_default(),
    )?;
    Ok(text)
}

/// What is worth looking at, by target.
const SCENES: &str = "\
billing    one session forgot to commit, a change of the table waits for it, and eight wait for the change
catalog    a pool: whatever is ended comes back
payments   answers are lost: unknown at first, settled by a look
orders-ro  replication: protected, and never sent
";

/// Answer once the outcome is final.
const WAIT: &str = " -H 'Prefer: wait=30'";

/// What is previewed, and the same with the confirm of its preview.
const PREVIEWED: &str =
    r#"{"target":"shop","select":{"match":{"user":"app"}},"reason":"INC-4711 stuck pool","dry_run":true}"#;
const CONFIRMED: &str =
    r#"{"target":"shop","select":{"match":{"user":"app"}},"reason":"INC-4711 stuck pool","confirm":"'"$CONFIRM"'"}"#;

/// One kill for each operation, on sessions that the demo's world has: what it shows, further headers, the body.
const KILLS: [(&str, &str, &str); 11] = [
    (
        "Huawei GaussDB: two sessions of a coordinator",
        "",
        r#"{"target":"ledger","select":{"ids":["10180","10185"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Huawei TaurusDB, looked at first: a session that lives, one that replicates and is spared, one that is not there",
        "",
        r#"{"target":"orders-ro","select":{"ids":["2075425","2075429","99"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Huawei TaurusDB: the database picks; wait up to 5 seconds for the outcome",
        " -H 'Prefer: wait=5'",
        r#"{"target":"orders-ro","select":{"intelligent":true},"reason":"INC-4711 load"}"#,
    ),
    (
        "Huawei RDS: the database picks; without a task it stays accepted",
        "",
        r#"{"target":"crm","select":{"intelligent":true},"reason":"INC-4711 load"}"#,
    ),
    (
        "Huawei DAS: every session of one user; its empty 200 is accepted, not killed",
        "",
        r#"{"target":"shop","select":{"match":{"user":"report"}},"reason":"INC-4711 runaway report","on_behalf_of":"alice@example.com"}"#,
    ),
    (
        "Tencent DCDB: a task, and what became of it",
        " -H 'Prefer: wait=5'",
        r#"{"target":"orders-shard-1","select":{"ids":["1111","1112"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Tencent TDSQL without shards: the same",
        " -H 'Prefer: wait=5'",
        r#"{"target":"invoices","select":{"ids":["3111"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Huawei DAS by instance, here a PostgreSQL: the user that was seen goes with each id",
        " -H 'Prefer: wait=5'",
        r#"{"target":"reports","select":{"ids":["51212"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Tencent DBbrain: prepared, and then committed",
        "",
        r#"{"target":"wiki","select":{"ids":["4111"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "Alibaba DAS: a task, and a reason for each session",
        " -H 'Prefer: wait=5'",
        r#"{"target":"forum","select":{"ids":["71212"]},"reason":"INC-4711 runaway report"}"#,
    ),
    (
        "an alias that does not exist: not done, and on record",
        "",
        r#"{"target":"nowhere","select":{"ids":["1"]},"reason":"INC-4711 runaway report"}"#,
    ),
];
