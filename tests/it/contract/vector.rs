//! The form of a vector file, and how it is read.
//!
//! A member that is not known is an error: a vector that says something nobody checks is worse than none.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use actix_web::http::StatusCode;
use base64::prelude::{BASE64_STANDARD, Engine};
use killgate::{
    domain::{Coordinates, Likeness, Match, Order, Selector, Session, SessionId, Target},
    upstream::{Call, Capabilities, Content, HttpReply, Known, ListFilter, Reply, Vendor},
};
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, macros::datetime};

/// When a kill was sent, where the vector does not say it.
const SENT_AT: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// One order, its calls, the vendor's replies and what is then known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vector {
    /// The file, for messages.
    #[serde(skip)]
    pub(super) file: String,
    /// The folder it lies in, which is its vendor's name.
    #[serde(skip)]
    pub(super) folder: String,
    /// What it is about, in a sentence.
    pub(super) about: String,
    #[serde(default)]
    pub(super) shows: Vec<Shows>,
    order: Asked,
    /// Given where the vector begins with a follow-up instead of a kill.
    pub(super) known: Option<Remembered>,
    /// Whether the vector asks what the database would pick, instead of a kill.
    #[serde(default)]
    pub(super) pick: bool,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) result: Expected,
}

/// What every vendor must have a vector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shows {
    Killed,
    AlreadyGone,
    Denied,
    Throttled,
    Garbled,
    Listed,
    ListedInPages,
    ListEmpty,
    ListCut,
    ListDenied,
    ListThrottled,
    ListGarbled,
}

impl Shows {
    const KILLS: [Self; 5] = [Self::Killed, Self::AlreadyGone, Self::Denied, Self::Throttled, Self::Garbled];
    const LISTS: [Self; 6] =
        [Self::Listed, Self::ListEmpty, Self::ListCut, Self::ListDenied, Self::ListThrottled, Self::ListGarbled];

    /// What a vendor must have a vector for that can do so much.
    pub(super) fn wanted(able: &Capabilities) -> Vec<Self> {
        let lists = able.listing.map(|_| Self::LISTS).into_iter().flatten();
        let pages = able.listing.filter(|listing| listing.most.is_none()).map(|_| Self::ListedInPages);
        Self::KILLS.into_iter().chain(lists).chain(pages).collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// `vendor`, `account` and the vendor's coordinates.
    target: BTreeMap<String, String>,
    select: Option<Select>,
    /// Beside `select`: the users of those sessions, where they were looked at.
    #[serde(default)]
    seen: BTreeMap<String, String>,
    /// In place of `select`: sessions are to be listed, and those that meet this are wanted.
    list: Option<Criteria>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Select {
    Ids(Vec<String>),
    Match(Criteria),
    Intelligent(bool),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Criteria {
    user: Option<String>,
    database: Option<String>,
}

/// What is known of the kill when the follow-up is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    task_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    sent_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) call: ExpectedCall,
    /// Whether the script must ask for a pause before this call.
    #[serde(default)]
    pub(super) after_pause: bool,
    pub(super) reply: Canned,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedCall {
    pub(super) stage: String,
    pub(super) effect: ExpectedEffect,
    pub(super) action: String,
    pub(super) method: String,
    pub(super) path: String,
    /// In any order; `<=5` and `>=5` are bounds, for times whose margin is the script's to choose.
    #[serde(default)]
    pub(super) query: Vec<(String, String)>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Compared as JSON, so `"1"` is not `1`; none means no bytes at all.
    pub(super) body: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpectedEffect {
    Kill,
    Read,
}

/// What the vendor answers, byte for byte.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Canned {
    status: u16,
    /// Names in lower case. Only `x-request-id` and `retry-after` reach a script.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// For bytes that are not text.
    body_base64: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Expected {
    Fault(ExpectedFault),
    Answer(ExpectedAnswer),
    List(ExpectedList),
    Picks(ExpectedPicks),
    Nothing(NothingToAsk),
}

/// What a list shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedList {
    /// Members that are `null` are left out.
    pub(super) listed: Vec<Value>,
    pub(super) complete: bool,
}

/// Which sessions the database would pick.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedPicks {
    pub(super) picks: Vec<String>,
}

/// The call did not do its work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedFault {
    pub(super) fault: String,
    pub(super) code: Option<String>,
    /// Checked where it is given: what counts as the text of a page without a code is nobody's business.
    pub(super) message: Option<String>,
    pub(super) request_id: Option<String>,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    // What the caller of a kill is told; not given for a follow-up, which leaves a kill as it was.
    pub(super) status: Option<String>,
    pub(super) http: Option<u16>,
    pub(super) problem: Option<String>,
}

/// What is known of the sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAnswer {
    pub(super) status: String,
    pub(super) sessions: Vec<Session>,
    pub(super) task_id: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) evidence_url: Option<String>,
}

/// A follow-up that the vendor has no answer for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NothingToAsk {
    pub(super) nothing_to_ask: bool,
}

/// Every vector there is, by folder and name.
pub(super) fn load() -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut vectors: Vec<Vector> = entries(&root)
        .into_iter()
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| entries(&folder).into_iter().map(move |file| (name(&folder), file)))
        .map(|(folder, file)| {
            let shown = format!("tests/vectors/{folder}/{}", name(&file));
            assert_eq!(file.extension().and_then(|e| e.to_str()), Some("json"), "{shown}: vectors are JSON files");
            let text = fs::read(&file).unwrap_or_else(|why| panic!("{shown}: {why}"));
            let vector = serde_json::from_slice(&text).unwrap_or_else(|why| panic!("{shown}: {why}"));
            Vector { file: shown, folder, ..vector }
        })
        .collect();
    assert!(!vectors.is_empty(), "there are no vectors in {}", root.display());
    vectors.sort_by(|a, b| a.file.cmp(&b.file));
    vectors
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    entries.map(|entry| entry.expect("a folder can be listed to its end").path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Vector {
    /// What is wanted of a list, where the vector is of one.
    pub(super) fn wanted(&self) -> Option<ListFilter> {
        let Criteria { user, database } = self.order.list.clone()?;
        Some(ListFilter { user, database })
    }

    /// The vendor and the target, as valid as those that reach a vendor; the text says what is wrong with it.
    pub(super) fn target(&self) -> Result<(&'static dyn Vendor, Target), String> {
        let mut target = self.order.target.clone();
        let mut take = |name: &str| target.remove(name).ok_or(format!("the target has no {name}"));
        let (vendor, account) = (take("vendor")?, take("account")?);
        if vendor != self.folder {
            return Err(format!("a vector for {vendor} lies in the folder of {}", self.folder));
        }
        let vendor = killgate::upstream::find(&vendor).ok_or(format!("{vendor} is not in the vendor table"))?;
        let capabilities = vendor.capabilities();

        let mut coordinates = Coordinates::new();
        for (name, value) in target {
            let known = capabilities.coordinates.iter().find(|c| c.name == name);
            let coordinate = known.ok_or(format!("{} has no coordinate {name}", self.folder))?;
            if !(coordinate.check)(&value) {
                return Err(format!("{name} {value} is not {}", coordinate.expected));
            }
            coordinates.insert(coordinate.name, value);
        }
        Ok((vendor, Target { alias: None, vendor: vendor.name(), account, coordinates }))
    }

    /// The same with the order.
    pub(super) fn order(&self) -> Result<(&'static dyn Vendor, Order), String> {
        let (vendor, target) = self.target()?;
        let capabilities = vendor.capabilities();
        let selector = match self.order.select.as_ref().ok_or("has no select")? {
            Select::Ids(ids) => Selector::Ids(ids.iter().cloned().map(SessionId).collect()),
            Select::Match(Criteria { user, database }) => match (user, database) {
                (Some(user), _) => Selector::Match(Box::new(Match::of_user(user))),
                (None, database) => {
                    Selector::Match(Box::new(Match::in_database(database.as_deref().unwrap_or_default())))
                }
            },
            Select::Intelligent(true) => Selector::Intelligent,
            Select::Intelligent(false) => return Err("intelligent is true or not there".to_owned()),
        };
        if let Some(id) = selector.ids().iter().find(|id| capabilities.session_id.parse(&id.0).as_ref() != Some(&id.0))
        {
            return Err(format!("the id {id} is not {}", capabilities.session_id.expected()));
        }
        if !capabilities.selectors.iter().any(|kind| kind.covers(&selector)) {
            return Err(format!("{} has no such selector: {selector:?}", self.folder));
        }
        let like = |user: &String| Likeness { user: Some(user.clone()), ..Likeness::default() };
        let likeness = self.order.seen.iter().map(|(id, user)| (SessionId(id.clone()), like(user))).collect();
        Ok((vendor, Order { likeness, ..Order::new(target, selector) }))
    }

    /// What is known at each step: as remembered, or a kill that was sent a second ago.
    pub(super) fn known(&self) -> Known {
        let sent_at = SENT_AT;
        self.known.as_ref().map_or(Known { task_id: None, sent_at, now: sent_at + Duration::from_secs(1) }, |known| {
            Known { task_id: known.task_id.clone(), sent_at: known.sent_at, now: known.now }
        })
    }
}

impl Canned {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).expect("body_base64 is Base64"),
            _ => panic!("a reply has exactly one of body and body_base64"),
        }
    }

    /// This reply, as the transport would hand it over for that call.
    pub(super) fn to(&self, call: &Call) -> Reply {
        let retry_after = self.headers.get("retry-after");
        let http = HttpReply {
            status: StatusCode::from_u16(self.status).expect("the status is one"),
            request_id: self.headers.get("x-request-id").cloned(),
            retry_after: retry_after.map(|s| Duration::from_secs(s.parse().expect("retry-after is in seconds"))),
            body: self.bytes(),
        };
        Reply { stage: call.stage, effect: call.effect, content: Content::Http(http) }
    }
}
