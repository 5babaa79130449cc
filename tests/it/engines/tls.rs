//! Connections to database servers are kept safe: by a company's authority, for the right name, or not at all.

use std::sync::Arc;

use actix_web::http::StatusCode;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sqlx::Executor;

use super::{by_ids, kill, list};
use crate::support::{
    gateway::{Engine, Gateway, Setup, on_one_engine},
    postgres::Cluster,
    servers::{PgServer, run, until},
};

on_one_engine!(a_server_is_taken_for_what_its_certificate_says);

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
    // It takes no connections with TLS yet.
    let answer = list(&gateway(&ca).await, "orders").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    install(&server, &right).await;
    let (_session, id) = server.session().await;
    let answer = kill(&gateway(&ca).await, &by_ids("orders", &[id])).await;
    assert_eq!(answer.body["sessions"][0]["outcome"], "killed", "{}", answer.body);
    for tls in ["tls = \"verify\"", other_ca.as_str()] {
        let answer = list(&gateway(tls).await, "orders").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    }
    install(&server, &wrong).await;
    let answer = list(&gateway(&other_ca).await, "orders").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "another name");
    let answer = list(&gateway(&format!("{other_ca}\ntls = \"verify-ca\"")).await, "orders").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}
