//! The contract between a vendor's script and what the vendor documents, as vectors.
//!
//! Each file in `tests/vectors/<vendor>/` is one order or one list, the calls it must lead to, what the vendor answers
//! and what is then known. They are played through [`Vendor`](killgate::upstream::Vendor) purely: nothing is signed,
//! sent or waited for. Engines have none: what a database server answers, a real one answers in `engines`.

mod play;
mod vector;

use std::{collections::BTreeSet, panic::catch_unwind, sync::LazyLock};

use actix_web::http::StatusCode;
use killgate::{
    domain::{Order, Outcome, Status},
    upstream::{Call, Content, Effect, FaultKind, HttpReply, Known, Listing, Reply, Step, TABLE, Vendor},
};
use proptest::{prelude::*, sample::Index};
use serde_json::Value;

use vector::{Shows, Vector};

static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(vector::load);

#[test]
fn every_vector_holds() {
    let mut broken = vec![];
    for vector in VECTORS.iter() {
        let verdict = catch_unwind(|| play::play(vector)).unwrap_or_else(|_| Err("panics; see above".to_owned()));
        if let Err(why) = verdict {
            broken.push(format!("{}: {why}\n  ({})", vector.file, vector.about));
        }
    }
    assert!(broken.is_empty(), "{} of {} vectors broken\n{}", broken.len(), VECTORS.len(), broken.join("\n"));
}

#[test]
fn every_vendor_has_vectors_for_what_it_can_do_and_how_it_says_no() {
    let mut wrong = vec![];
    for vendor in TABLE.iter().filter(|vendor| vendor.capabilities().by.cloud().is_some()) {
        let name = vendor.name().as_str();
        for wanted in Shows::wanted(vendor.capabilities()) {
            if !VECTORS.iter().any(|vector| vector.folder == name && vector.shows.contains(&wanted)) {
                wrong.push(format!("tests/vectors/{name}/ has no vector that shows {wanted:?}"));
            }
        }
    }
    let folders: BTreeSet<&str> = VECTORS.iter().map(|vector| vector.folder.as_str()).collect();
    for folder in folders {
        if killgate::upstream::find(folder).is_none() {
            wrong.push(format!("tests/vectors/{folder}/ belongs to no vendor in the table"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_vector_repeats_a_kill() {
    let scenes: Vec<Scene> = VECTORS.iter().filter_map(Scene::of).collect();
    for scene in &scenes {
        for other in VECTORS.iter().filter(|other| other.folder == scene.vector.folder) {
            for exchange in &other.exchanges {
                let reply = exchange.reply.to(&scene.call);
                let after = scene.next(&reply);
                let again = match &after {
                    Ok(Step::Send(call) | Step::Wait { then: call, .. }) => call.effect == Effect::Kill,
                    // What was only prepared has not run.
                    Ok(Step::Commit { .. }) => scene.call.effect == Effect::Kill,
                    Ok(Step::Done(_)) | Err(_) => false,
                };
                assert!(!again, "{}: answered as in {}, it kills again", scene.vector.file, other.file);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn next_survives_arbitrary_bytes(
        asked in any::<Index>(),
        answered in any::<Index>(),
        status in prop_oneof![2 => Just(200_u16), 1 => 200_u16..300, 3 => 100_u16..1000],
        damage in damage(),
    ) {
        let Some(scene) = Scene::of(asked.get(&VECTORS)) else { return Ok(()) };
        let bodies = &answered.get(&VECTORS).exchanges;
        let body = damage.done_to(bodies.last().map(|exchange| exchange.reply.bytes()).unwrap_or_default());
        let garbled = is_garbled(&body);
        let status = StatusCode::from_u16(status).expect("100 to 999 are statuses");
        let reply = answered_with(&scene.call, status, body);

        if let Ok(Step::Done(answer)) = scene.next(&reply) {
            let asked = scene.order.selector.ids().iter().map(|id| id.0.as_str());
            let told = answer.sessions.iter().map(|session| session.id.as_str());
            prop_assert!(asked.eq(told), "one outcome for each id that was asked for: {answer:?}");
            if !status.is_success() || garbled {
                let killed = answer.sessions.iter().any(|session| session.outcome == Outcome::Killed);
                prop_assert!(!killed && answer.status != Status::Succeeded, "{status} {answer:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_survives_arbitrary_bytes(
        asked in any::<Index>(),
        answered in any::<Index>(),
        status in prop_oneof![2 => Just(200_u16), 1 => 200_u16..300, 3 => 100_u16..1000],
        damage in damage(),
    ) {
        let lists: Vec<_> = VECTORS.iter().filter_map(|vector| Some((vector, vector.wanted()?))).collect();
        let (vector, wanted) = asked.get(&lists);
        let (vendor, target) = vector.target().expect("a target");
        let mut listing = Listing::new(vendor, target, wanted.clone());
        let call = listing.call().expect("a call");
        let (answered, _) = answered.get(&lists);
        let body = damage.done_to(answered.exchanges[0].reply.bytes());
        let garbled = is_garbled(&body);
        let status = StatusCode::from_u16(status).expect("100 to 999 are statuses");
        let reply = answered_with(&call, status, body);

        if listing.read(&reply).is_ok() {
            prop_assert!(status.is_success() && !garbled, "{status} {listing:?}");
            let next = listing.call();
            prop_assert!(next.is_none_or(|next| next.effect == Effect::Read && next != call), "it turns round");
        }
    }
}

#[test]
fn a_reply_of_the_wrong_kind_cannot_be_read() {
    for scene in VECTORS.iter().filter_map(Scene::of) {
        let (stage, effect) = (scene.call.stage, scene.call.effect);
        let fault = scene.next(&Reply { stage, effect, content: Content::Results(vec![]) }).expect_err("a fault");
        assert_eq!((fault.kind, fault.stage), (FaultKind::Unreadable, stage), "{}", scene.vector.file);
    }
}

fn answered_with(call: &Call, status: StatusCode, body: Vec<u8>) -> Reply {
    let http = HttpReply { status, request_id: None, retry_after: None, body };
    Reply { stage: call.stage, effect: call.effect, content: Content::Http(http) }
}

/// Whether a body is no JSON, even if what is no text in it stands for some other text.
fn is_garbled(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).replace(|letter: char| letter.is_ascii_control(), " ");
    let text = text.trim_start_matches('\u{FEFF}').replace("\\ud", "\\u0").replace("\\uD", "\\u0");
    let halves = text.replace("\u{FFFD}\\", "\u{FFFD}");
    [text, halves].iter().all(|text| serde_json::from_str::<Value>(text).is_err())
}

/// A vendor that has sent the first call of a vector and waits for its reply.
struct Scene {
    vector: &'static Vector,
    vendor: &'static dyn Vendor,
    order: Order,
    known: Known,
    call: Call,
}

impl Scene {
    /// `None` where the vector's vendor is not in the table, asks nothing, or asks for picks.
    fn of(vector: &'static Vector) -> Option<Self> {
        if vector.pick {
            return None;
        }
        let (vendor, order) = vector.order().ok()?;
        let known = vector.known();
        let call = play::first_call(vector, vendor, &order, &known)?;
        Some(Self { vector, vendor, order, known, call })
    }

    fn next(&self, reply: &Reply) -> Result<Step, killgate::upstream::Fault> {
        self.vendor.next(&self.order, &self.known, reply)
    }
}

/// What can happen to a body on its way.
#[derive(Debug, Clone)]
enum Damage {
    None,
    CutAt(Index),
    Changed(Index, u8),
    Inserted(Index, Vec<u8>),
    Replaced(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..64);
    // Pieces that keep a body JSON but change what it says.
    let piece =
        prop::sample::select(vec!["null", "0", "-1", "1.5", "9e99", "[]", "{}", "true", "\"\"", "[[", ",\"x\":"]);
    prop_oneof![
        Just(Damage::None),
        any::<Index>().prop_map(Damage::CutAt),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Changed(at, byte)),
        (any::<Index>(), b' '..b'~').prop_map(|(at, byte)| Damage::Changed(at, byte)),
        (any::<Index>(), bytes()).prop_map(|(at, bytes)| Damage::Inserted(at, bytes)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Damage::Inserted(at, piece.into())),
        bytes().prop_map(Damage::Replaced),
    ]
}

impl Damage {
    fn done_to(self, mut body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => {}
            Self::CutAt(at) => body.truncate(at.index(body.len() + 1)),
            Self::Changed(at, byte) if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] = byte;
            }
            Self::Changed(_, byte) => body.push(byte),
            Self::Inserted(at, bytes) => {
                let at = at.index(body.len() + 1);
                body.splice(at..at, bytes);
            }
            Self::Replaced(bytes) => body = bytes,
        }
        body
    }
}
