//! The whole: a file and an environment in, a configuration or all that is wrong out.

use secrecy::ExposeSecret;

use super::*;
use crate::upstream::{
    Counting, IdRule, Own, Protocol, Takes,
    cloud::{huawei::Huawei, tencent::Tencent},
    credentials::Credentials,
};

const VENDORS: &Vendors = &[
    ("gaussdb", By::Cloud(&Huawei)),
    ("das", By::Cloud(&Huawei)),
    ("taurusdb", By::Cloud(&Huawei)),
    ("dcdb", By::Cloud(&Tencent)),
    ("postgresql", By::Protocol(Protocol::Postgres)),
    ("mysql", By::Protocol(Protocol::MySql)),
    ("mariadb", By::Protocol(Protocol::MariaDb)),
];

pub(super) const TENCENT: &str = "[accounts.t]\ncloud = 'tencent'\nregion = 'ap-guangzhou'\nsecret_id = 'canary-id'\n\
     secret_key = 'canary-key'\nendpoints.dcdb = 'https://dcdb.tencentcloudapi.com'\n";

pub(super) const HUAWEI: &str = "[accounts.h]\ncloud = 'huawei'\nregion = 'r-1'\naccess_key = 'canary-id'\n\
     secret_key = 'canary-key'\nproject_id = '0611f1bd8b00d5d32f17c017f15b599f'\n\
     endpoints.gaussdb = 'https://gaussdb.example.com'\n";

pub(super) const DCDB: Capabilities = Capabilities {
    product: "",
    by: By::Cloud(&Tencent),
    coordinates: &[],
    tells_apart: &[],
    session_id: IdRule::Token,
    selectors: &[],
    max_ids_per_call: 100,
    most_ids_per_call: None,
    requests_per_second: 20,
    requests_per_minute: None,
    counting: Counting::ByAction { kill: "KillSession" },
    can_follow_up: true,
    listing: None,
    own: Own { users: &[], commands: &[], applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

pub(super) fn at_cloud(account: &Account) -> &AtCloud {
    match &account.place {
        Place::Cloud(cloud) => cloud,
        Place::Servers { .. } => panic!("no cloud: {account:?}"),
    }
}

pub(super) fn read_with(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("killgate.toml");
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load_for(VENDORS, Some(&file), env)
}

pub(super) fn read(toml: &str) -> Config {
    read_with(toml, &[]).unwrap()
}

/// What is wrong, one line each; it never shows what the tests use as secrets.
pub(super) fn problems(toml: &str) -> Vec<String> {
    let error = read_with(toml, &[]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    error.to_string().lines().map(str::to_owned).collect()
}

const SAMPLE: &str = r#"
[server]
listen = "127.0.0.1:8080"

[audit]
database_url = "postgres://killgate@localhost/killgate"

[auth]
issuer = "https://sso.example.com"
audience = "killgate"
jwks_url = "https://sso.example.com/jwks.json"
# hs256_secret = { env = "KILLGATE_JWT_SECRET" }

[accounts.tencent-prod]
cloud = "tencent"
region = "ap-guangzhou"
secret_id  = { env = "TENCENTCLOUD_SECRET_ID" }
secret_key = { env = "TENCENTCLOUD_SECRET_KEY" }
endpoints.dcdb = "https://dcdb.tencentcloudapi.com"

[accounts.huawei-prod]
cloud = "huawei"
region = "ap-southeast-1"
project_id = "0611f1bd8b00d5d32f17c017f15b599f"
access_key = { env = "HUAWEICLOUD_SDK_AK" }
secret_key = { env = "HUAWEICLOUD_SDK_SK" }
endpoints.gaussdb  = "https://gaussdb-opengauss.ap-southeast-1.myhuaweicloud.com"
endpoints.das      = "https://das.ap-southeast-1.myhuaweicloud.com"
endpoints.taurusdb = "https://gaussdbformysql.ap-southeast-1.myhuaweicloud.com"
endpoints.iam      = "https://iam.ap-southeast-1.myhuaweicloud.com"

[vendors.dcdb]
requests_per_second = 20
max_ids_per_call = 100
max_wait_ms = 5000
timeout_ms = 10000

[[protect]]
target = "orders-shard-1"
users = ["repl", "dba_*"]
commands = ["Binlog Dump*"]

[targets.orders-shard-1]
vendor = "dcdb"
account = "tencent-prod"
instance_id = "tdsqlshard-2gk4nxyz"
shard_id = "shard-ljilb4st"
"#;

const SECRETS: [(&str, &str); 4] = [
    ("TENCENTCLOUD_SECRET_ID", "007123"),
    ("TENCENTCLOUD_SECRET_KEY", "canary-b"),
    ("HUAWEICLOUD_SDK_AK", "1e5"),
    ("HUAWEICLOUD_SDK_SK", "canary-d"),
];

#[test]
fn the_documented_sample_is_read_and_shows_no_secret() {
    let config = read_with(SAMPLE, &SECRETS).unwrap();
    let Credentials::Keys(keys) = &at_cloud(&config.accounts["tencent-prod"]).identity.credentials else { panic!() };
    assert_eq!((keys.id.as_str(), keys.secret.expose_secret()), ("007123", "canary-b"), "digits stay text");
    assert_eq!(config.targets["orders-shard-1"].coordinates["shard_id"], "shard-ljilb4st");
    assert_eq!(config.protect[0].sessions.commands[0].as_str(), "Binlog Dump*");
    assert_eq!(config.auth().unwrap().issuers[0].issuer, "https://sso.example.com");
    let shown = format!("{config:?} {:?}", config.summary());
    assert!(!shown.contains("canary") && !shown.contains("007123"), "{shown}");
    assert!(shown.contains("account huawei-prod: huawei ap-southeast-1, key pair, das https://das."), "{shown}");
}

#[test]
fn the_environment_goes_before_the_file() {
    let mut env = SECRETS.to_vec();
    env.extend([
        ("KILLGATE__SERVER__LISTEN", "0.0.0.0:80"),
        ("KILLGATE__AUDIT__MIGRATE", "false"),
        ("KILLGATE__VENDORS__DCDB__REQUESTS_PER_SECOND", "7"),
        ("KILLGATE__ACCOUNTS__TENCENT_PROD__SECRET_KEY", "12345"),
        ("KILLGATE__ACCOUNTS__HUAWEI_PROD__ENDPOINTS__DAS", "http://[::1]:1"),
        ("KILLGATE__TARGETS__ORDERS_SHARD_1__CALLERS", "ops-*, anna"),
        ("DATABASE_URL", "postgres://elsewhere/k"),
    ]);
    let config = read_with(SAMPLE, &env).unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:80");
    assert_eq!((config.audit.migrate, config.audit.database.place().as_str()), (false, "postgres at elsewhere/k"));
    assert_eq!(config.limits("dcdb", "tencent-prod", &DCDB).requests_per_second, 7);
    let Credentials::Keys(keys) = &at_cloud(&config.accounts["tencent-prod"]).identity.credentials else { panic!() };
    assert_eq!(keys.secret.expose_secret(), "12345");
    assert_eq!(at_cloud(&config.accounts["huawei-prod"]).endpoints["das"].port(), Some(1));
    assert!(config.targets["orders-shard-1"].is_open_to("ops-7"));
}

#[test]
fn a_bad_value_from_the_environment_names_the_variable() {
    let env = [("KILLGATE__SERVER__WORKERS", "many"), ("KILLGATE__SERVRE__LISTEN", "x"), ("KILLGATE__", "y")];
    let told = read_with("", &env).unwrap_err().to_string();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "KILLGATE__: has an empty name between its underscores",
            "server.workers: must be a whole number from 1 to 64, not \"many\" (set by KILLGATE__SERVER__WORKERS)",
            "servre: unknown key, expected one of server, tls, egress, traces, audit, seal, auth, login, callers, confirm, console, vendors, accounts, access, targets, webhooks, protect, returned",
        ]
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let told = problems("sever = 1\nserver = 2\naccounts = 3\n[audit]\ntimeout_ms = 1\n[auth]\nissuer = ''");
    let paths: Vec<_> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(paths, ["server", "audit.timeout_ms", "auth.audience", "auth.issuer", "accounts", "sever"]);
}

#[test]
fn a_file_that_was_asked_for_must_exist_and_the_default_one_need_not() {
    let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let absent = load_for(VENDORS, Some(Path::new("/nowhere/k.toml")), env(&[])).unwrap_err();
    assert!(absent.to_string().starts_with("/nowhere/k.toml: cannot be read: "), "{absent}");
    let absent = load_for(VENDORS, None, env(&[("KILLGATE_CONFIG", "/nowhere/l.toml")])).unwrap_err();
    assert!(absent.to_string().starts_with("/nowhere/l.toml: cannot be read: "), "{absent}");
    if !Path::new(DEFAULT_FILE).exists() {
        let config = load(None, std::iter::empty()).unwrap();
        assert_eq!(config.file, None);
        assert_eq!(config.auth().unwrap_err().to_string().split(':').next(), Some("auth"));
    }
}

#[test]
fn broken_toml_is_told_by_line_and_never_quoted() {
    for (toml, place) in [
        ("[auth]\nhs256_secret = \"canary\nx = 1", "line 2, column 23"),
        ("[auth]\nhs256_secret = canary", "line 2, column 16"),
        ("hs256_secret = 'canary' 'canary'", "line 1, column"),
        ("a = 'canary'\na = 'canary'", "line 2, column 1"),
        ("canary", "line 1, column"),
        ("secret = canary-123", "line 1, column 10"),
        ("secret = 12canary", "line 1, column"),
        ("secret = \"\\canary\"", "line 1, column"),
    ] {
        let told = problems(toml);
        assert!(told[0].contains(place), "{toml}: {told:?}");
    }
}

/// The example, and the reference that explains it.
const EXAMPLE: &str = include_str!("../../killgate.example.toml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

#[test]
fn the_example_is_accepted_as_it_is() {
    let env = [
        ("KILLGATE_DATABASE_URL", "postgres://killgate@localhost/killgate"),
        ("TENCENTCLOUD_SECRET_ID", "canary"),
        ("TENCENTCLOUD_SECRET_KEY", "canary"),
        ("HUAWEICLOUD_SDK_AK", "canary"),
        ("HUAWEICLOUD_SDK_SK", "canary"),
        ("ORDERS_PG_PASSWORD", "canary"),
    ];
    assert!(read_with(EXAMPLE, &env).is_ok(), "{}", read_with(EXAMPLE, &env).unwrap_err());
}

/// The keys that a section says it knows.
fn known(section: &str) -> Vec<String> {
    let problems = read_with(&format!("{section}\nzzz = 1"), &[]).unwrap_err().to_string();
    let line = problems.lines().find(|line| line.contains("zzz: unknown key")).unwrap_or_else(|| panic!("{problems}"));
    let (_, keys) = line.split_once("expected one of ").unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_example_and_the_reference_have_every_key() {
    for section in known("") {
        let headers: &[&str] = match section.as_str() {
            "accounts" => &[
                "[accounts.a]\ncloud = 'huawei'",
                "[accounts.a]\ncloud = 'tencent'",
                "[accounts.a]\ncloud = 'alibaba'",
                "[accounts.a]\nengine = 'postgresql'",
                "[accounts.a]\nengine = 'mysql'",
            ],
            "vendors" => &["[vendors.dcdb]"],
            // Every other key is a coordinate, and those are the vendors' own.
            "targets" => &["vendor", "account", "callers"],
            "webhooks" => &["[webhooks.a]"],
            "protect" => &["[[protect]]"],
            "access" => &["[access]", "[[access.grant]]"],
            "server" | "tls" | "egress" | "traces" | "audit" | "seal" | "auth" | "login" | "callers" | "confirm"
            | "console" | "returned" => &[],
            other => panic!("how is {other} written? say it here"),
        };
        let usual = format!("[{section}]");
        let headers = if headers.is_empty() { vec![usual.as_str()] } else { headers.to_vec() };
        let reference: String = REFERENCE.split("\n## ").filter(|part| part.contains(&format!("[{section}"))).collect();
        let keys = |header: &&str| if header.starts_with('[') { known(header) } else { vec![(*header).to_owned()] };
        for key in headers.iter().flat_map(keys) {
            let is_of_key = |line: &str| {
                let line = line.trim_start_matches("# ");
                let rest = line.strip_prefix(&key).is_some_and(|rest| rest.starts_with([' ', '=', '.']));
                rest || line.trim_start_matches('[').starts_with(&format!("{section}.{key}]"))
                    || line.contains(&format!(".{key}."))
            };
            assert!(EXAMPLE.lines().any(is_of_key), "killgate.example.toml lacks {section}.{key}");
            let told = [format!("`{key}`"), format!("`{key}."), format!("`{key} "), format!("[{section}.{key}]")];
            assert!(told.iter().any(|told| reference.contains(told)), "docs/configuration.md lacks {section}.{key}");
        }
    }
}
