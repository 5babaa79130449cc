//! The whole, with real keys: what authenticates, and all that must not.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::{
    testkit::{Issuer, NOW, SECRET, base64url, bearing, by_secret, by_secrets, claims, ed25519, p256, rsa, signed},
    *,
};
use crate::config::{Secret, Source};

async fn refused(auth: &Auth, authorization: &str) -> AuthError {
    auth.authenticate(Some(authorization)).await.unwrap_err()
}

#[tokio::test]
async fn a_minted_token_authenticates_until_it_expires() {
    let extra = json!({ "act": { "sub": "bot" }, "sub": "not anna" }).as_object().unwrap().clone();
    let ttl = Duration::from_mins(1);
    let grant = Grant { issuer: "sso", audience: "killgate", subject: "anna", scope: "sessions:kill x", ttl, extra };
    let secret = Secret::from(SECRET.to_owned());
    let clock = Clock::manual(NOW);
    let token = mint(&grant, &secret, &clock).unwrap();
    let caller = by_secret().authenticate(Some(&bearing(&token))).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.actor.as_deref()), ("anna", Some("bot")));
    assert!(caller.has(Scope::SessionsKill) && caller.token_id.is_some());
    clock.set(NOW - time::Duration::seconds(90));
    let old = mint(&grant, &secret, &clock).unwrap();
    assert_eq!(refused(&by_secret(), &bearing(&old)).await, AuthError::Expired);
    let forever = Grant { ttl: Duration::MAX, ..grant };
    assert_eq!(mint(&forever, &secret, &clock), Err(MintError));
}

#[tokio::test]
async fn what_is_no_bearer_token_is_told_apart() {
    let auth = by_secret();
    assert_eq!(auth.authenticate(None).await, Err(AuthError::Missing));
    for (header, error) in [
        ("", AuthError::Missing),
        ("Bearer", AuthError::Missing),
        ("Basic YTpi", AuthError::Missing),
        ("Bearer a", AuthError::Malformed),
        ("Bearer a b", AuthError::Malformed),
        ("Bearer a.b.c", AuthError::Malformed),
        ("Bearer ä.ö.ü", AuthError::Malformed),
        (&bearing(&"a".repeat(LONGEST + 1)), AuthError::TooLong),
    ] {
        assert_eq!(refused(&auth, header).await, error, "{header:.20}");
    }
    let token = signed(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(SECRET.as_bytes()));
    assert!(auth.authenticate(Some(&token.replace("Bearer ", "bearer  "))).await.is_ok());
}

#[tokio::test]
async fn only_the_configured_algorithm_and_secret_count() {
    let auth = by_secret();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(refused(&auth, &signed(&Header::new(algorithm), &key)).await, AuthError::AlgorithmNotAllowed);
    }
    assert_eq!(refused(&auth, &ed25519().token(None)).await, AuthError::AlgorithmNotAllowed);
    let other = EncodingKey::from_secret(&[7; 32]);
    assert_eq!(refused(&auth, &signed(&Header::new(Algorithm::HS256), &other)).await, AuthError::BadSignature);
    let unsigned = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(claims().to_string()));
    assert_eq!(refused(&auth, &bearing(&unsigned)).await, AuthError::AlgorithmNotAllowed);
    let critical = Header { crit: Some(vec!["exp".into()]), ..Header::new(Algorithm::HS256) };
    assert_eq!(refused(&auth, &signed(&critical, &key)).await, AuthError::CriticalHeader);
    assert!(!format!("{auth:?}").contains("canary"));
}

#[tokio::test]
async fn each_kind_of_key_checks_its_own_signatures() {
    let (rsa, p256, ed) = (rsa(), p256(), ed25519());
    let issuer = Issuer::with(&[rsa.jwk("r"), p256.jwk("p"), ed.jwk("e")]);
    let auth = issuer.auth();
    for (signer, id) in [(&rsa, "r"), (&p256, "p"), (&ed, "e")] {
        let token = signer.token(Some(id));
        assert_eq!(auth.authenticate(Some(&token)).await.unwrap().subject, "anna", "{id}");
        assert!(auth.authenticate(Some(&signer.token(None))).await.is_ok(), "the only {:?} key", signer.algorithm);
        let (rest, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refused(&auth, &format!("{rest}.{}", base64url([0; 64]))).await, AuthError::BadSignature, "{id}");
    }
    assert_eq!(refused(&auth, &ed25519().token(Some("e"))).await, AuthError::BadSignature);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn the_key_decides_the_algorithm() {
    let (rsa, ed) = (rsa(), ed25519());
    let issuer = Issuer::with(&[rsa.jwk("r"), ed.jwk("e")]);
    let auth = issuer.auth();
    let public = URL_SAFE_NO_PAD.decode(rsa.jwk["n"].as_str().unwrap()).unwrap();
    for secret in [public.as_slice(), rsa.jwk.to_string().as_bytes(), b""] {
        let header = Header { kid: Some("r".into()), ..Header::new(Algorithm::HS256) };
        let forged = signed(&header, &EncodingKey::from_secret(secret));
        assert_eq!(refused(&auth, &forged).await, AuthError::AlgorithmNotAllowed);
    }
    assert_eq!(issuer.fetches(), 0, "what is not allowed fetches nothing");
    assert_eq!(refused(&auth, &ed.token(Some("r"))).await, AuthError::AlgorithmNotAllowed);
    assert_eq!(refused(&auth, &p256().token(Some("r"))).await, AuthError::AlgorithmNotAllowed);
}

#[tokio::test]
async fn unusable_keys_are_passed_over_and_spoil_nothing() {
    let (good, twin, ed) = (p256(), p256(), ed25519());
    let mut encrypting = ed.jwk("enc");
    encrypting["use"] = "enc".into();
    let mut signing_only = ed.jwk("ops");
    signing_only["key_ops"] = json!(["sign"]);
    let mut other_algorithm = good.jwk("alg");
    other_algorithm["alg"] = "ES512".into();
    let rsa = rsa();
    let mut short = rsa.jwk("short");
    short["n"] = base64url([0xff; 255]).into();
    let odd = [
        encrypting,
        signing_only,
        other_algorithm,
        short,
        json!({ "kty": "oct", "kid": "oct", "k": base64url(SECRET) }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "half", "x": "AA", "y": "AA" }),
        json!({ "kty": "AKP", "kid": "new" }),
        json!({ "kid": 7 }),
        json!("key"),
        good.jwk("twins"),
        twin.jwk("twins"),
    ];
    let auth = Issuer::with(&odd).auth();
    for signer in [&good, &twin] {
        assert!(auth.authenticate(Some(&signer.token(Some("twins")))).await.is_ok());
    }
    assert_eq!(refused(&auth, &good.token(None)).await, AuthError::UnknownKey, "two keys may have signed it");
    for (signer, id) in [(&ed, "enc"), (&ed, "ops"), (&good, "alg"), (&good, "half"), (&good, "oct"), (&rsa, "short")] {
        assert_eq!(refused(&auth, &signer.token(Some(id))).await, AuthError::UnknownKey, "{id}");
    }
}

#[tokio::test]
async fn made_up_keys_cannot_hammer_the_issuer() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let auth = issuer.auth();
    for _ in 0..5 {
        assert_eq!(refused(&auth, &key.token(Some("made-up"))).await, AuthError::UnknownKey);
    }
    assert_eq!(issuer.fetches(), 1);
    issuer.later(29);
    refused(&auth, &key.token(Some("made-up"))).await;
    assert_eq!(issuer.fetches(), 1);
    issuer.later(1);
    refused(&auth, &key.token(Some("made-up"))).await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let auth = issuer.auth();
    let token = key.token(Some("a"));
    let callers = (0..20).map(|_| auth.authenticate(Some(&token)));
    assert!(futures_util::future::join_all(callers).await.iter().all(Result::is_ok));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_forgotten() {
    let (old, new) = (ed25519(), p256());
    let issuer = Issuer::with(&[old.jwk("old")]);
    let auth = issuer.auth();
    assert!(auth.authenticate(Some(&old.token(Some("old")))).await.is_ok());
    issuer.publish(&[new.jwk("new")]);
    issuer.later(31);
    assert!(auth.authenticate(Some(&new.token(Some("new")))).await.is_ok());
    assert_eq!(refused(&auth, &old.token(Some("old"))).await, AuthError::UnknownKey);
    issuer.publish(&[old.jwk("old")]);
    issuer.later(599);
    assert!(auth.authenticate(Some(&new.token(Some("new")))).await.is_ok(), "not yet old");
    issuer.later(1);
    assert_eq!(refused(&auth, &new.token(Some("new"))).await, AuthError::UnknownKey);
}

#[tokio::test]
async fn the_last_keys_stay_good_while_the_issuer_is_away() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let auth = issuer.auth();
    let token = key.token(Some("a"));
    let mut large = json!({ "keys": [key.jwk("a")] }).to_string().into_bytes();
    large.resize(600 * 1024, b' ');
    for answer in [Err("refused".to_owned()), Ok(b"<html>".to_vec()), Ok(br#"{"keys":[]}"#.to_vec()), Ok(large)] {
        issuer.answer(answer);
        assert_eq!(refused(&issuer.auth(), &token).await, AuthError::KeysUnavailable);
    }
    let before = issuer.fetches();
    // With the mark before it that some editors write.
    issuer.answer(Ok(["\u{feff}", &json!({ "keys": [key.jwk("a")] }).to_string()].concat().into_bytes()));
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    issuer.answer(Err("refused".to_owned()));
    issuer.later(700);
    for _ in 0..5 {
        assert!(auth.authenticate(Some(&token)).await.is_ok());
    }
    assert_eq!(issuer.fetches(), before + 2, "one good fetch, one in vain, then the floor");
}

#[tokio::test]
async fn a_first_fetch_in_vain_is_tried_again_soon() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    issuer.answer(Err("refused".to_owned()));
    let auth = issuer.auth();
    let token = key.token(Some("a"));
    assert_eq!(refused(&auth, &token).await, AuthError::KeysUnavailable);
    issuer.publish(&[key.jwk("a")]);
    assert_eq!(refused(&auth, &token).await, AuthError::KeysUnavailable);
    issuer.later(3);
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn old_keys_come_to_an_end_while_the_issuer_is_away() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let (auth, token) = (issuer.auth(), key.token(Some("a")));
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    assert_eq!(auth.key_sets()[0].keys, KeysAre::Fresh);
    issuer.answer(Err("refused".to_owned()));
    issuer.later(3599);
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    let state = auth.key_sets().remove(0);
    assert_eq!((state.keys, state.failures, auth.knows_nobody()), (KeysAre::Old, 1, false));
    issuer.later(4 * 3600 - 3599);
    let old = json!({ "iss": "sso", "aud": "killgate", "exp": NOW.unix_timestamp() + 99_999, "sub": "anna" });
    let header = Header { kid: Some("a".into()), ..Header::new(key.algorithm) };
    let token = bearing(&jsonwebtoken::encode(&header, &old, &key.key).unwrap());
    assert_eq!(refused(&auth, &token).await, AuthError::KeysUnavailable);
    assert_eq!((auth.key_sets()[0].keys, auth.knows_nobody()), (KeysAre::Missing, true));
    issuer.publish(&[key.jwk("a")]);
    issuer.later(3);
    assert!(auth.authenticate(Some(&token)).await.is_ok());
}

#[tokio::test]
async fn whose_key_is_known_does_not_wait_for_a_slow_issuer() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let (auth, token) = (issuer.auth(), key.token(Some("a")));
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    issuer.later(450);
    // Whoever fetches takes turns with others, so that the one who does not wait is done before.
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    assert_eq!(issuer.fetches(), 1);
    while auth.key_sets()[0].age != Some(Duration::ZERO) {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_key_set_is_found_by_the_issuer_alone() {
    let key = ed25519();
    let issuer = Issuer::with(&[key.jwk("a")]);
    let document = "https://sso/.well-known/openid-configuration";
    let source = Source::Discovery { document: document.parse().unwrap(), issuer: "sso".into(), allow_http: false };
    let auth = issuer.auth_by(source);
    let token = key.token(Some("a"));
    for wrong in [
        json!({}),
        json!({ "issuer": "sso" }),
        json!({ "issuer": "https://other", "jwks_uri": "https://sso/keys" }),
        json!({ "issuer": "sso", "jwks_uri": "http://sso/keys" }),
        json!({ "issuer": "sso", "jwks_uri": "https://sso/none" }),
    ] {
        issuer.document(document, &wrong);
        assert_eq!(refused(&auth, &token).await, AuthError::KeysUnavailable, "{wrong}");
        issuer.later(3);
    }
    issuer.document(document, &json!({ "issuer": "sso", "jwks_uri": "https://sso/keys", "more": [1] }));
    assert!(auth.authenticate(Some(&token)).await.is_ok());
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn any_of_several_secrets_verifies() {
    let old = "an-older-secret-0123456789-0123456789";
    let auth = by_secrets(&[SECRET, old]);
    for secret in [SECRET, old] {
        let token = signed(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(secret.as_bytes()));
        assert!(auth.authenticate(Some(&token)).await.is_ok(), "{secret}");
    }
    let token = signed(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(&[7; 32]));
    assert_eq!(refused(&auth, &token).await, AuthError::BadSignature);
}

#[tokio::test]
async fn only_tokens_of_the_right_type_are_taken() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let of = |typ: Option<&str>| signed(&Header { typ: typ.map(str::to_owned), ..Header::new(Algorithm::HS256) }, &key);
    for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        assert!(by_secret().authenticate(Some(&of(Some(typ)))).await.is_ok(), "{typ}");
    }
    for typ in [None, Some("id_token"), Some("logout+jwt"), Some(""), Some("none")] {
        assert_eq!(refused(&by_secret(), &of(typ)).await, AuthError::WrongType, "{typ:?}");
    }
}

proptest! {
    #[test]
    fn no_made_up_header_authenticates(
        header in prop_oneof![
            any::<String>(),
            ".*".prop_map(|text| bearing(&text)),
            "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}".prop_map(|text| bearing(&text)),
            ("(HS256|RS256|ES256|EdDSA|none)", "[a-z]{0,3}", proptest::collection::vec(any::<u8>(), 0..80)).prop_map(
                |(alg, kid, signature)| {
                    let header = json!({ "alg": alg, "kid": kid }).to_string();
                    let parts = [base64url(header), base64url(claims().to_string()), base64url(signature)];
                    bearing(&parts.join("."))
                }
            ),
        ]
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(by_secret().authenticate(Some(&header)).await.is_err());
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": base64url([9; 32]) });
            assert!(Issuer::with(&[jwk]).auth().authenticate(Some(&header)).await.is_err());
        });
    }
}
