//! Connections to database servers are kept safe: by a company's authority, for the right name, or not at all.

use std::sync::Arc;

use actix_web::http::StatusCode;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use killgate::sandbox::{Clouds, Sandbox};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use sqlx::Executor;

use super::{by_ids, kill, list};
use crate::{
    safety::process::{Process, Served},
    support::{
        configuration::{configuration_text, record_at},
        gateway::{Answer, Engine, Gateway, Setup, on_one_engine},
        my::{MyServer, Product},
        patience::eventually,
        postgres::Cluster,
        servers::{PASSWORD, PgServer, run, until},
        way::Proxy,
    },
};

on_one_engine!(a_server_is_taken_for_what_its_certificate_says, what_is_wrong_with_a_certificate_is_in_log_and_check);

const NO_TLS: &str = "the server takes no connections with TLS";
const UNKNOWN: &str = "TLS: the certificate is of an authority that is not known here";
const MISNAMED: &str = "TLS: the certificate is for another name";

/// A certificate for that name, by an authority, with its key; all as PEM.
struct Issued {
    authority: String,
    certificate: String,
    key: String,
}

fn issue(name: &str) -> Issued {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signing = KeyPair::generate().unwrap();
    let shown = authority.self_signed(&signing).unwrap();
    let (issuer, key) = (Issuer::new(authority, signing), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Issued { authority: shown.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
}

/// Has the server show that certificate from its next connection on.
async fn install(server: &PgServer, issued: &Issued) {
    let mut owner = server.owner().await;
    for (file, pem) in [("server.crt", &issued.certificate), ("server.key", &issued.key)] {
        let sql = format!(
            "COPY (SELECT '{}') TO PROGRAM 'base64 -d > {file} && chmod 600 {file}'",
            BASE64_STANDARD.encode(pem)
        );
        run(&mut owner, &sql).await;
    }
    owner.execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    owner.execute("SELECT pg_reload_conf()").await.unwrap();
    until(&mut owner, "SELECT 1 FROM pg_settings WHERE name = 'ssl' AND setting = 'on'").await;
}

async fn a_server_is_taken_for_what_its_certificate_says(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (issue("127.0.0.1"), issue("db.example.com"));
    let file = |name: &str, pem: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        format!("ca_file = \"{}\"", path.display())
    };
    let (ca, other_ca) = (file("right.pem", &right.authority), file("wrong.pem", &wrong.authority));
    let gateway = async |tls: &str| {
        let more = server.configuration("orders", "").replace("tls = \"off\"", tls);
        Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
    };
    let failed = |answer: &Answer, why: &str| {
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(why), "{why}: {}", answer.body);
    };
    // It takes no connections with TLS yet.
    failed(&list(&gateway(&ca).await, "orders").await, NO_TLS);
    install(&server, &right).await;
    let (_session, id) = server.session().await;
    let answer = kill(&gateway(&ca).await, &by_ids("orders", &[id])).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
    for tls in ["tls = \"verify\"", other_ca.as_str()] {
        failed(&list(&gateway(tls).await, "orders").await, UNKNOWN);
    }
    install(&server, &wrong).await;
    failed(&list(&gateway(&other_ca).await, "orders").await, MISNAMED);
    // A kill that goes blind is told it as well.
    let mut blind = by_ids("orders", &[id]);
    blind["look"] = json!(false);
    let impatient = format!("{other_ca}\n[vendors.postgresql]\nmax_wait_ms = 100\n");
    failed(&kill(&gateway(&impatient).await, &blind).await, MISNAMED);
    let answer = list(&gateway(&format!("{other_ca}\ntls = \"verify-ca\"")).await, "orders").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

async fn what_is_wrong_with_a_certificate_is_in_log_and_check(_: Engine) {
    let cluster = Arc::new(Cluster::start());
    let (server, without) = (PgServer::on(&cluster).await, PgServer::new().await);
    let plain = MyServer::own(Product::MariaDb, &["--skip-ssl".to_owned()]).await;
    let (folder, right) = (tempfile::tempdir().unwrap(), issue("db.example.com"));
    install(&server, &right).await;
    let ca = folder.path().join("right.pem");
    std::fs::write(&ca, &right.authority).unwrap();
    let verified = format!("ca_file = \"{}\"", ca.display());
    let (proxy, other) = (Proxy::before(server.address()).await, Proxy::before(server.address()).await);
    let at = |server: &PgServer, name: &str, address: String, tls: &str| {
        server.configuration(name, "").replace("tls = \"off\"", tls).replace(&server.address(), &address)
    };
    let more = [
        at(&server, "unknown", proxy.address.to_string(), "tls = \"verify\""),
        at(&server, "misnamed", other.address.to_string(), &verified),
        at(&without, "without", without.address(), "tls = \"verify\""),
        plain.configuration("mywithout", "tls = \"verify\""),
        // Whom nobody reaches is tried again for so long.
        ["postgresql", "mariadb"].map(|vendor| format!("\n[vendors.{vendor}]\nmax_wait_ms = 100\n")).concat(),
    ]
    .concat();
    let whys = [("unknown", UNKNOWN), ("misnamed", MISNAMED), ("without", NO_TLS), ("mywithout", NO_TLS)];
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let audit = record_at(&format!("sqlite:{}", folder.path().join("killgate.db").display()));
    let gateway = Served::start(&audit, &clouds.url, &more).await;
    for (name, why) in whys {
        let token = Gateway::token("dba", "sessions:read");
        let answer = gateway.client.get(&format!("/sessions?target={name}"), &token).await;
        assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
        let found = async || {
            let log = gateway.process.stderr();
            log.lines().any(|line| [why, &format!("account=\"{name}")].iter().all(|it| line.contains(it))).then_some(())
        };
        eventually(&format!("a line of {name}"), found).await;
    }
    assert!(!gateway.process.stderr().contains(PASSWORD), "{}", gateway.process.stderr());
    std::fs::write(folder.path().join("killgate.toml"), configuration_text(&audit, &clouds.url, &more)).unwrap();
    let ended = Process::start(&["check", "--connect"], folder.path(), &[]).ended().await;
    for (name, why) in whys {
        let start = format!("FAIL targets.{name}: upstream_failed: ");
        let told = ended.stdout.lines().any(|line| line.starts_with(&start) && line.contains(why));
        assert!(told, "{name}: {} {}", ended.stdout, ended.stderr);
    }
}
