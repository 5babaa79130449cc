//! Clouds: whose credentials and signatures their products take, and what all products of one share.
//!
//! A cloud is pure, as a vendor is: it says what an account of its has to be told, what goes with every call, and what a
//! signature adds. It never sends, sleeps, logs or reads a clock. A new cloud is one file here and one line in [`TABLE`].

pub mod alibaba;
pub mod huawei;
pub mod tencent;

use std::{fmt::Debug, ops::RangeInclusive};

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use url::Url;

use super::{
    Effect, Fault, FaultKind, HttpReply, Site,
    credentials::Credentials,
    sign::{Keys, Unsigned},
    transport::Response,
};

/// One cloud.
pub trait Cloud: Debug + Send + Sync {
    /// The word in configuration.
    fn name(&self) -> &'static str;

    /// What an account at this cloud says of itself beside its region and its endpoints; `None` where something is wrong
    /// with it, which the fields have noted.
    fn identity(&self, fields: &mut dyn Fields) -> Option<Identity>;

    /// The endpoints that an account can have beside those of the cloud's vendors.
    fn services(&self) -> &'static [Service];

    /// How the host of an endpoint says at which site it is; `None` where the cloud has but one.
    fn sites(&self) -> Option<fn(&str) -> Site>;

    /// The headers of every call beside those of the signature. A call's own take their place.
    fn headers<'a>(&self, region: &'a str, project: Option<&'a str>) -> Vec<(&'static str, &'a str)>;

    /// The headers that a signature with keys adds to a call; `service` is what the call says of the product, where this
    /// cloud's signatures name one.
    fn sign(&self, call: &Unsigned<'_>, keys: &Keys, service: &str, at: OffsetDateTime) -> Vec<(String, String)>;

    /// Whether the cloud locks a key after some wrong signatures, for everybody who shares it.
    fn locks_keys(&self) -> bool;

    /// Whether an answer says that the credentials were not taken.
    fn refuses_credentials(&self, reply: &HttpReply) -> bool;

    /// The id that the cloud itself gave to an answer; `None` where the answer has none, or one that is made up on the way.
    fn answer_id(&self, body: &[u8]) -> Option<String>;
}

impl PartialEq for dyn Cloud {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Cloud {}

/// Every cloud there is.
pub static TABLE: &[&dyn Cloud] = &[&huawei::Huawei, &tencent::Tencent, &alibaba::Alibaba];

/// The cloud of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Cloud> {
    TABLE.iter().copied().find(|cloud| cloud.name() == name)
}

/// An endpoint that serves the accounts of a cloud and not one of its vendors, such as the one where they log in.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    pub name: &'static str,
    /// The fields of an account with each of which it must be there.
    pub needed_with: &'static [&'static str],
}

/// What an account says of itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account's project, at clouds that have such.
    pub project_id: Option<String>,
    /// `None` where its endpoints say it.
    pub site: Option<Site>,
    pub credentials: Credentials,
}

/// The fields of an account in the configuration. Whoever reads one that is wrong goes on: that it is wrong is noted, with
/// its path and with what was expected. What was asked for by name is known; the rest is refused.
pub trait Fields {
    /// Whether the field is set, well or badly.
    fn has(&self, name: &str) -> bool;

    /// Makes fields known that not every path reads.
    fn know(&mut self, names: &[&'static str]);

    /// Notes each of these that is not set.
    fn require(&self, names: &[&str]);

    /// Notes what is wrong with a field.
    fn problem(&self, name: &str, message: &str);

    /// Notes what is wrong with the account as a whole.
    fn problem_here(&self, message: &str);

    /// A text of 1 to 255 characters without control characters.
    fn text(&mut self, name: &'static str) -> Option<String>;

    /// A text that passes the check; `expected` begins with "must be".
    fn checked(&mut self, name: &'static str, expected: &str, check: fn(&str) -> bool) -> Option<String>;

    /// A whole number in the range.
    fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64>;

    /// The address of a metadata service: https, or http to where such services are, and to loopback.
    fn metadata(&mut self, name: &'static str) -> Option<Url>;

    /// A variable of the environment, where it is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;

    /// A secret, found where the field says.
    fn secret(&mut self, name: &'static str) -> Option<SecretString>;

    /// Has the fields of a table read, where it is set.
    fn table(&mut self, name: &'static str, read: &mut dyn FnMut(&mut dyn Fields));
}

/// The table of an account that says where its keys come from.
const FROM: &str = "keys";

/// Which of these sources that table names.
fn from(fields: &mut dyn Fields, sources: &[&'static str]) -> Option<&'static str> {
    fields.require(&["from"]);
    let name = fields.text("from")?;
    let found = sources.iter().copied().find(|source| *source == name);
    if found.is_none() {
        fields.problem("from", &format!("must be {}", sources.join(" or ")));
    }
    found
}

/// A key pair in the fields of these names, and the token that comes with temporary keys.
fn keys(fields: &mut dyn Fields, [id, secret, token]: [&'static str; 3]) -> Option<Keys> {
    fields.require(&[id, secret]);
    let id = fields.secret(id);
    let secret = fields.secret(secret);
    let has_token = fields.has(token);
    let token = fields.secret(token);
    let is_whole = token.is_some() == has_token;
    let keys = Keys { id: id?.expose_secret().to_owned(), secret: secret?, token };
    is_whole.then_some(keys)
}

/// What a status means by itself, where one action has the same path as all others. Only those that refuse a call before it is
/// passed on say that a kill did nothing, and a 404 says nothing of an instance.
fn of_status(status: u16, effect: Effect) -> FaultKind {
    match status {
        500.. => FaultKind::ServerError,
        429 => FaultKind::Throttled,
        401 | 403 => FaultKind::Denied,
        400 | 404 | 405 | 413..=415 | 494 => FaultKind::Refused,
        _ if effect == Effect::Kill => FaultKind::Unreadable,
        _ => FaultKind::Refused,
    }
}

/// Key pair and token as a source gave them; `None` where one is missing, or is nothing that could go in a header.
fn temporary(id: Option<&str>, secret: Option<&str>, token: Option<&str>) -> Option<Keys> {
    let fine = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let (id, secret, token) = (id.filter(fine)?, secret.filter(fine)?, token.filter(fine)?);
    Some(Keys { id: id.to_owned(), secret: secret.into(), token: Some(token.into()) })
}

/// The fault that an answer of `whom` outside 2xx means, to whoever asks for credentials.
fn refused_by(whom: &str, response: &Response) -> Fault {
    let status = response.status.as_u16();
    let kind = match status {
        429 => FaultKind::Throttled,
        400 | 401 | 403 | 404 => FaultKind::Denied,
        300..=499 => FaultKind::Refused,
        _ => FaultKind::Credentials,
    };
    Fault { http_status: Some(status), ..Fault::of_source(kind, &format!("{whom} answered HTTP {status}")) }
}

/// What `whom` answered does not hold what was asked for.
fn unreadable_of(whom: &str) -> Fault {
    Fault::of_source(FaultKind::Credentials, &format!("what {whom} answered holds no credentials that can be read"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_clouds_have_the_same_name_and_each_is_found_by_its_own() {
        let names: BTreeSet<_> = TABLE.iter().map(|cloud| cloud.name()).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.iter().all(|cloud| find(cloud.name()) == Some(*cloud)));
    }
}
