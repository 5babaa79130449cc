//! What keeps the gateway from a server, and what does not.

use actix_web::http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use sqlx::Executor;

use super::{
    super::{by_ids, kill, list, outcomes},
    gateway, gateway_with, of_id,
};
use crate::support::{
    my::{MyServer, Product, is_ended, on_both_servers, plain},
    patience::eventually,
    servers::PASSWORD,
    way::{Proxy, nobody},
};

on_both_servers! {
    what_keeps_the_gateway_from_a_server_is_told,
    a_certificate_of_the_companys_own_is_taken_for_its_name_alone,
    a_server_that_is_not_the_expected_one_takes_no_kill,
    where_no_connection_is_left_the_reserved_address_is_tried,
}

async fn what_keeps_the_gateway_from_a_server_is_told(product: Product) {
    let server = MyServer::new(product).await;
    let (_kept, gone) = nobody();
    // Two names for one address are refused.
    let elsewhere = Proxy::before(server.address()).await;
    let wrong = server.configuration("wrong", "").replace(PASSWORD, "canary-of-a-password");
    let down = server.configuration_at("down", &gone.to_string(), "");
    let unsafe_one = server.configuration_at("unsafe", &elsewhere.address.to_string(), "tls = \"verify\"");
    let gateway = gateway_with(format!("{wrong}{down}{unsafe_one}")).await;
    let answer = kill(&gateway, &by_ids("wrong", &[7])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
    assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
    for target in ["down", "unsafe"] {
        let answer = kill(&gateway, &by_ids(target, &[7])).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    }
}

async fn a_certificate_of_the_companys_own_is_taken_for_its_name_alone(product: Product) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(path("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let options = [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")];
    let server = MyServer::own(product, &options.map(|(name, file)| format!("--ssl-{name}={}", path(file)))).await;
    let ca = format!("ca_file = \"{}\"", path("ca.pem"));
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let named = format!("localhost:{port}");
    let of_name = |name: &str, address: &str, more: &str| server.configuration_at(name, address, more);
    let (mut session, id) = server.session().await;
    for (address, lines, refused) in [
        (&named, format!("tls = \"verify\"\n{ca}"), None),
        (&named, "tls = \"verify\"".to_owned(), Some("TLS: the certificate is of an authority that is not known here")),
        (&server.address(), format!("tls = \"verify\"\n{ca}"), Some("TLS: the certificate is for another name")),
        (&server.address(), format!("tls = \"verify-ca\"\n{ca}"), None),
    ] {
        let gateway = gateway_with(of_name("orders", address, &lines)).await;
        let answer = list(&gateway, "orders").await;
        if let Some(why) = refused {
            let told = (answer.status, answer.code());
            assert_eq!(told, (StatusCode::BAD_GATEWAY, "upstream_failed"), "{address} {lines}: {}", answer.body);
            assert!(answer.body["detail"].as_str().unwrap().contains(why), "{address} {lines}: {}", answer.body);
        } else {
            assert_eq!(answer.status, StatusCode::OK, "{address} {lines}: {}", answer.body);
            of_id(&answer, id);
        }
    }
    let gateway = gateway_with(of_name("orders", &named, &format!("tls = \"verify\"\n{ca}"))).await;
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{}", answer.body);
    assert!(is_ended(&mut session).await);
}

async fn a_server_that_is_not_the_expected_one_takes_no_kill(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let mut boss = server.boss().await;
    let name = if product == Product::MySql { "server_uuid" } else { "server_uid" };
    let uuid = sqlx::query_scalar::<_, String>(plain(format!("SELECT CONVERT(@@{name} USING utf8mb4)")));
    let uuid = uuid.fetch_one(&mut boss).await.unwrap();
    let (mut session, id) = server.session().await;
    let with = async |expected: &str| gateway(&server, &format!("{}\n{expected}", server.tls())).await;
    let another = with("expect.server_uuid = \"another\"").await;
    let same = with(&format!("expect.server_uuid = \"{uuid}\"")).await;
    let writable = with("expect.writable = true").await;
    for look in [true, false] {
        let mut body = by_ids("orders", &[id]);
        body["look"] = json!(look);
        let answer = kill(&another, &body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "target_changed"), "{}", answer.body);
    }
    for gateway in [&same, &writable] {
        of_id(&list(gateway, "orders").await, id);
    }
    boss.execute("SET GLOBAL read_only = 1").await.unwrap();
    let answer = kill(&writable, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "target_changed"), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    let answer = kill(&same, &by_ids("orders", &[id])).await;
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{}", answer.body);
}

async fn where_no_connection_is_left_the_reserved_address_is_tried(product: Product) {
    let options = match product {
        Product::MariaDb => ["--extra-port=@free@", "--extra-max-connections=3"],
        Product::MySql => ["--admin-port=@free@", "--admin-address=127.0.0.1"],
    };
    let server = MyServer::own(product, &options.map(str::to_owned)).await;
    let mut boss = server.boss().await;
    let mut run = async |sql: &str| boss.execute(plain(sql)).await.unwrap();
    let (mut session, id) = server.session().await;
    if product == Product::MySql {
        run(&format!("GRANT SERVICE_CONNECTION_ADMIN ON *.* TO {}", server.gateway)).await;
    }
    run("SET GLOBAL max_connections = 10").await;
    // Who said goodbye or was refused counts for a moment longer.
    let mut others = vec![];
    for place in 3..=10 {
        let what = format!("connection {place} of 10");
        others.push(eventually(&what, async || server.try_session(&server.app).await.ok()).await);
    }
    // Who may kill may also have the one connection beyond the limit; here somebody else has that.
    let _last = eventually("the connection beyond the limit", async || server.try_boss().await.ok()).await;
    let without = gateway(&server, &server.tls()).await;
    let answer = kill(&without, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "target_busy"), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    let reserved = format!("{}\nreserved.primary = \"127.0.0.1:{}\"", server.tls(), server.second_port());
    let with = gateway(&server, &reserved).await;
    let answer = kill(&with, &by_ids("orders", &[id])).await;
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{}", answer.body);
}
