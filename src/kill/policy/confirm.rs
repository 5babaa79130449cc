//! Confirms: the tokens that bind a kill to its preview.
//!
//! A token names the preview and the time until which it is good, and has the hashes of caller, target and selector in
//! it, all under one HMAC-SHA256. Which sessions it stands for is not in it: they are in the record of the preview.
//! The invariants: whoever has no key makes no token, and neither a key nor a token that came in shows itself in a
//! `Debug`. Nothing here reads a clock or a record.

use std::fmt;

use aws_lc_rs::{digest, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    clock::{from_unix_millis, unix_millis},
    domain::{End, KillId},
};

/// What every token begins with, so that one can be known wherever it turns up.
pub const PREFIX: &str = "kgc_";
/// What is signed begins with this, so that a secret that is used elsewhere too signs nothing of the other kind.
const PURPOSE: &[u8] = b"killgate confirm\0";
const VERSION: u8 = 1;
const HASH: usize = 32;
/// Version, end, preview, three hashes.
const SIGNED: usize = 1 + 8 + 16 + 3 * HASH;

/// A confirm as a caller sent it, of whatever form.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Given(SecretString);

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Given {
    /// The token itself, to check it or to tell one request from another.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kill) enum Refusal {
    /// Made up, changed, cut, or made with another key.
    Foreign,
    Expired,
    OtherCaller,
    OtherTarget,
    OtherSelector,
}

impl Refusal {
    /// One sentence for the caller.
    pub(in crate::kill) const fn sentence(self) -> &'static str {
        match self {
            Self::Foreign => "is not a confirm of this gateway, nor of one with the same confirm.secret: preview again",
            Self::Expired => "has run out: preview again",
            Self::OtherCaller => "was given to another caller: preview it yourself",
            Self::OtherTarget => "is for another target",
            Self::OtherSelector => "is for another select",
        }
    }
}

/// What a token is for, beside its preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kill) struct Terms([[u8; HASH]; 3]);

impl Terms {
    /// A target is the same by its alias and by its coordinates; a selector is the same as recorded.
    pub(in crate::kill) fn of(caller: &str, target: &Value, select: &Value, end: End) -> Self {
        let mut place = target.clone();
        if let Some(members) = place.as_object_mut() {
            members.remove("alias");
        }
        // Members of a JSON object are sorted here, so what comes back from the record reads the same.
        let what = format!("{} {select}", end.as_str());
        Self([caller.to_owned(), place.to_string(), what].map(|text| hash(text.as_bytes())))
    }
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    let mut hash = [0; HASH];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Key {
    /// What tokens are made with.
    newest: hmac::Key,
    /// What tokens may have been made with before.
    older: Vec<hmac::Key>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key that all gateways with these secrets have, the newest of them first; `None` where there is none.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Option<Self> {
        let mut keys = secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        Some(Self { newest: keys.next()?, older: keys.collect() })
    }

    /// A key that nobody else has.
    ///
    /// # Panics
    /// The machine has no randomness, and then nothing here is safe.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = [0; HASH];
        rand::fill(&mut secret).expect("the machine has randomness");
        Self { newest: hmac::Key::new(hmac::HMAC_SHA256, &secret), older: vec![] }
    }

    /// The token for a preview: the same for the same preview, end and terms.
    pub(in crate::kill) fn mint(&self, preview: KillId, until: OffsetDateTime, terms: &Terms) -> String {
        let mut token = Vec::with_capacity(SIGNED + HASH);
        token.push(VERSION);
        token.extend(unix_millis(until).to_be_bytes());
        token.extend(preview.as_bytes());
        token.extend(terms.0.iter().flatten());
        let tag = hmac::sign(&self.newest, &[PURPOSE, &token].concat());
        token.extend(tag.as_ref());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    /// The preview that a token stands for.
    ///
    /// # Errors
    /// The first thing that is wrong with it. Nothing is said of what it is for before it is known to be genuine.
    pub(in crate::kill) fn check(&self, token: &str, now: OffsetDateTime, terms: &Terms) -> Result<KillId, Refusal> {
        let bytes = token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let bytes = bytes.filter(|bytes| bytes.len() == SIGNED + HASH).ok_or(Refusal::Foreign)?;
        let (signed, tag) = bytes.split_at(SIGNED);
        // Takes as long whatever the tag is.
        let (signed_for, mut keys) = ([PURPOSE, signed].concat(), std::iter::once(&self.newest).chain(&self.older));
        if !keys.any(|key| hmac::verify(key, &signed_for, tag).is_ok()) {
            return Err(Refusal::Foreign);
        }
        let (head, hashes) = signed.split_at(SIGNED - 3 * HASH);
        let (until, preview) = head[1..].split_at(8);
        let until = until.try_into().map(i64::from_be_bytes).map_err(|_| Refusal::Foreign)?;
        let preview = Uuid::from_slice(preview).map_err(|_| Refusal::Foreign)?;
        if head[0] != VERSION {
            return Err(Refusal::Foreign);
        }
        if now >= from_unix_millis(until) {
            return Err(Refusal::Expired);
        }
        let others = [Refusal::OtherCaller, Refusal::OtherTarget, Refusal::OtherSelector];
        match hashes.chunks(HASH).zip(&terms.0).position(|(signed, given)| signed != given) {
            Some(at) => Err(others[at]),
            None => Ok(preview),
        }
    }
}

/// The text with a word in place of everything that looks like a token, or like most of one.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    const LEAST: usize = 40;
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once(PREFIX) {
        let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let end = after.find(|c| !is_of_token(c)).unwrap_or(after.len());
        kept.push_str(before);
        kept.push_str(if end < LEAST { &rest[before.len()..before.len() + PREFIX.len() + end] } else { MASK });
        rest = &after[end..];
    }
    kept + rest
}

/// What stands in the record where a token was.
pub const MASK: &str = "[confirm]";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::{Duration, macros::datetime};

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    fn terms(caller: &str, alias: Option<&str>, node: &str, ids: &[&str]) -> Terms {
        let mut target = json!({ "vendor": "taurusdb", "account": "h", "node_id": node });
        if let Some(alias) = alias {
            target["alias"] = alias.into();
        }
        Terms::of(caller, &target, &json!({ "ids": ids }), End::Session)
    }

    fn key(secret: &[u8]) -> Key {
        Key::new([secret]).unwrap()
    }

    #[test]
    fn the_first_secret_makes_tokens_and_those_of_all_are_taken() {
        let (good, until) = (terms("bot", None, "no07", &["1"]), NOON + Duration::MINUTE);
        let both = Key::new([b"new".as_slice(), b"old"]).unwrap();
        let check = |key: &Key, by: &Key| by.check(&key.mint(preview(), until, &good), NOON, &good);
        assert_eq!(check(&key(b"old"), &both), Ok(preview()));
        assert_eq!(check(&both, &key(b"new")), Ok(preview()));
        assert_eq!(check(&both, &key(b"old")), Err(Refusal::Foreign));
        assert!(Key::new([]).is_none());
    }

    fn preview() -> KillId {
        Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)
    }

    #[test]
    fn a_token_is_good_for_its_caller_target_and_selector_until_it_runs_out() {
        let key = key(b"a secret of thirty-two bytes, or more");
        let good = terms("bot", Some("orders"), "no07", &["1"]);
        let token = key.mint(preview(), NOON, &good);
        assert_eq!(token, key.mint(preview(), NOON, &good), "the same again for whoever asks again");
        let check = |terms: &Terms, before: Duration| key.check(&token, NOON - before, terms);
        let moment = Duration::MILLISECOND;
        assert_eq!(check(&good, moment), Ok(preview()));
        assert_eq!(check(&terms("bot", None, "no07", &["1"]), moment), Ok(preview()), "the same place");
        assert_eq!(check(&good, Duration::ZERO), Err(Refusal::Expired));
        assert_eq!(check(&terms("Bot", None, "no07", &["1"]), moment), Err(Refusal::OtherCaller));
        assert_eq!(check(&terms("bot", Some("orders"), "no08", &["1"]), moment), Err(Refusal::OtherTarget));
        assert_eq!(check(&terms("bot", None, "no07", &["1", "2"]), moment), Err(Refusal::OtherSelector));
        let other = Key::random();
        assert_eq!(other.check(&token, NOON - moment, &good), Err(Refusal::Foreign));
        assert!(!format!("{key:?} {:?}", Given::from(token.clone())).contains(&token[4..]));
    }

    #[test]
    fn what_looks_like_a_token_is_taken_out_of_a_text_and_nothing_else_is() {
        let token = Key::random().mint(preview(), NOON, &terms("bot", None, "no07", &["1"]));
        let text = format!(r#"{{"confirm":"{token}","reason":"{} kgc_short ä{token}"}}"#, &token[..100]);
        let masked = without_tokens(&text);
        assert_eq!(masked, format!(r#"{{"confirm":"{MASK}","reason":"{MASK} kgc_short ä{MASK}"}}"#));
        assert_eq!(without_tokens("kgc_"), "kgc_");
        assert_eq!(without_tokens(""), "");
    }

    proptest! {
        #[test]
        fn no_token_that_was_changed_anywhere_is_taken(at in 0_usize..153, by in 1_u8.., cut in 0_usize..208) {
            let key = key(b"secret");
            let good = terms("bot", None, "no07", &["1"]);
            let token = key.mint(preview(), NOON, &good);
            let mut bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
            bytes[at] ^= by;
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(key.check(&changed, NOON - Duration::SECOND, &good), Err(Refusal::Foreign));
            prop_assert_eq!(key.check(&token[..cut], NOON - Duration::SECOND, &good), Err(Refusal::Foreign));
        }

        #[test]
        fn no_text_at_all_makes_a_check_fail_hard(text in "\\PC{0,300}") {
            let _ = without_tokens(&text);
            let refused = key(b"secret").check(&text, NOON, &terms("bot", None, "no07", &["1"]));
            prop_assert_eq!(refused, Err(Refusal::Foreign));
        }
    }
}
