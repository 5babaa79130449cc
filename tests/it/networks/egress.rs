//! Out through a proxy, a real one that wants a user and a password.

use std::{path::PathBuf, process::Command};

use actix_web::http::StatusCode;
use killgate::{
    sandbox::{Clouds, Sandbox},
    upstream::transport::{Egress, Proxy, PublicRoots, Spared, Transport, TransportError},
};

use super::{
    authority::{Authority, For, front},
    get,
};
use crate::support::patience::PATIENCE;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-proxy.sh");
const PASSWORD: &str = "canary-of-the-proxy";

/// A proxy of tinyproxy's.
struct TinyProxy {
    port: u16,
    folder: PathBuf,
}

impl TinyProxy {
    fn start() -> Self {
        let of = std::process::id().to_string();
        let output = Command::new(SCRIPT).args(["start", "bot", PASSWORD, &of]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        Self { port: lines.next().unwrap().parse().unwrap(), folder: lines.next().unwrap().into() }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

impl Drop for TinyProxy {
    fn drop(&mut self) {
        let stopped = Command::new(SCRIPT).arg("stop").arg(&self.folder).status();
        assert!(stopped.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_near_goes_through_the_proxy_and_is_encrypted_to_its_end() {
    let (proxy, ours) = (TinyProxy::start(), Authority::new("ours"));
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let near = front(&ours.issue(For::Us), &clouds.url).await;
    // An address of this machine that does not look like one.
    let plain = format!("{}/_sandbox/sessions", clouds.url).replace("127.0.0.1", "0.0.0.0");
    let direct = Egress::new(PublicRoots::None, &[ours.pem.as_bytes()]).unwrap();
    let by = |password: &str, spared: &[&str]| {
        let proxy = Proxy::parse(&format!("http://bot:{password}@127.0.0.1:{}", proxy.port));
        let spared = spared.iter().map(|spared| Spared::parse(spared).unwrap()).collect();
        Transport::start(PATIENCE).unwrap().by(direct.through(Some(proxy.unwrap()), spared))
    };
    let host = plain.trim_start_matches("http://").split('/').next().unwrap().to_owned();

    assert_eq!(get(&by(PASSWORD, &[]), &plain).await, Ok(StatusCode::OK));
    assert!(proxy.log().contains(&format!("CONNECT {host}")), "{}", proxy.log());
    assert!(!proxy.log().contains("_sandbox"), "the proxy sees hosts only: {}", proxy.log());

    let before = proxy.log().matches("CONNECT").count();
    let ip = host.rsplit_once(':').unwrap().0.to_owned();
    assert_eq!(get(&by(PASSWORD, &[&ip]), &plain).await, Ok(StatusCode::OK));
    assert!(get(&by(PASSWORD, &[]), &format!("{near}/_sandbox/sessions")).await.is_ok(), "loopback is near");
    assert_eq!(proxy.log().matches("CONNECT").count(), before);

    let refused = get(&by("another", &[]), &plain).await.unwrap_err();
    assert!(
        matches!(&refused, TransportError::NotConnected(why) if why.contains("another user or password")),
        "{refused}"
    );
    let nobody = format!("http://{ip}:1/");
    let unreached = get(&by(PASSWORD, &[]), &nobody).await.unwrap_err();
    assert!(
        matches!(&unreached, TransportError::NotConnected(why) if why.contains("refuses to connect")),
        "{unreached}"
    );
    assert!(!format!("{refused} {unreached}").contains(PASSWORD));
}
