//! The gateway's own certificate, callers' certificates, and whom the gateway believes.

use std::path::Path;

use actix_web::http::StatusCode;
use killgate::upstream::transport::{Transport, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    authority::{Authority, For, Issued, front},
    get,
    http2::connect,
    on_one_engine,
};
use crate::{
    safety::process::Served,
    support::{
        gateway::{Engine, Gateway, Setup, kill_of},
        patience::{eventually, in_time},
    },
};
use killgate::sandbox::{Clouds, Sandbox};

on_one_engine! {
    callers_may_have_to_show_a_certificate,
    clouds_with_a_certificate_of_the_company_are_believed_where_it_says_so,
}

pub(super) fn settings(folder: &Path, more: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    format!("[server.tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n{more}")
}

async fn ready(transport: &Transport, address: std::net::SocketAddr) -> Result<StatusCode, TransportError> {
    get(transport, &format!("https://{address}/readyz")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_and_a_bad_one_is_told_and_is_not() {
    let (old, new, folder) = (Authority::new("old"), Authority::new("new"), tempfile::tempdir().unwrap());
    old.issue(For::Us).write(folder.path());
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let served = Served::start("", &clouds.url, &settings(folder.path(), "")).await;
    let address = served.address;
    assert_eq!(ready(&old.client(), address).await, Ok(StatusCode::OK));
    assert!(matches!(ready(&new.client(), address).await, Err(TransportError::NotConnected(_))));

    let (mixed, whole) = (new.issue(For::Us), new.issue(For::Us));
    std::fs::write(folder.path().join("key.pem"), &mixed.key).unwrap();
    let told = async || served.process.stderr().contains("the old ones stay").then_some(());
    eventually("it is told that they do not go together", told).await;
    assert!(served.process.stderr().contains("is not the key of the certificate"), "{}", served.process.stderr());
    assert_eq!(ready(&old.client(), address).await, Ok(StatusCode::OK));

    whole.write(folder.path());
    let shown = async || ready(&new.client(), address).await.ok();
    assert_eq!(eventually("the new one is shown", shown).await, StatusCode::OK);
    assert!(matches!(ready(&old.client(), address).await, Err(TransportError::NotConnected(_))));
    served.process.signal("TERM");
    let ended = served.process.ended().await;
    assert!(ended.status.success() && !ended.stderr.contains("PRIVATE"), "{}", ended.stderr);
}

/// What a caller reads that shows a certificate, or none.
async fn read(address: std::net::SocketAddr, authority: &Authority, shows: Option<&Issued>) -> std::io::Result<String> {
    let mut stream = connect(address, authority, shows, &[]).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: killgate\r\nConnection: close\r\n\r\n").await?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

async fn callers_may_have_to_show_a_certificate(engine: Engine) {
    let (ours, other, folder) = (Authority::new("ours"), Authority::new("other"), tempfile::tempdir().unwrap());
    ours.issue(For::Us).write(folder.path());
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &ours.pem).unwrap();
    let (good, bad) = (ours.issue(For::Client), other.issue(For::Client));
    for (required, without) in [(true, false), (false, true)] {
        let more = format!("client_ca_file = \"{}\"\nclients_required = {required}\n", ca.display());
        let setup = Setup { more: settings(folder.path(), &more), ..Setup::default() };
        let gateway = Gateway::start_with(engine, setup).await;
        let address = gateway.app.address();
        let is_served = |answer: std::io::Result<String>| answer.is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
        assert!(is_served(in_time(read(address, &ours, Some(&good))).await), "{required}");
        assert!(!is_served(in_time(read(address, &ours, Some(&bad))).await), "{required}");
        assert_eq!(is_served(in_time(read(address, &ours, None)).await), without, "{required}");
    }
}

async fn clouds_with_a_certificate_of_the_company_are_believed_where_it_says_so(engine: Engine) {
    let (ours, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let url = front(&ours.issue(For::Us), &clouds.url).await;
    let ca = ours.ca_file(folder.path(), "ca.pem");
    let account = |own: &str| {
        format!(
            "[accounts.tencent-test]\ncloud = \"tencent\"\nregion = \"{}\"\nsecret_id = \"{}\"\nsecret_key = \"{}\"\n\
             endpoints.dcdb = \"{url}\"\n{own}",
            killgate::sandbox::demo::TENCENT_REGION,
            killgate::sandbox::demo::TENCENT_SECRET_ID,
            killgate::sandbox::demo::TENCENT_SECRET_KEY,
        )
    };
    for (more, status, code) in [
        (account(""), StatusCode::BAD_GATEWAY, "upstream_failed"),
        (account(&ca), StatusCode::OK, ""),
        (format!("{}[tls]\n{ca}", account("")), StatusCode::OK, ""),
        (format!("{}[tls]\nroots = \"none\"\n{ca}", account("")), StatusCode::OK, ""),
    ] {
        let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
        let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
        assert!([status, StatusCode::ACCEPTED].contains(&answer.status), "{}", answer.body);
        assert_eq!(answer.code(), code, "{}", answer.body);
    }
}
