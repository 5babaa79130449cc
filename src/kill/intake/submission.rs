//! One attempt as it comes in, and the record that is made of it before anything is done.

use aws_lc_rs::digest;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    audit::IdempotencyKey,
    clock::id_at,
    domain::{End, Found, Kill, Outcome, Problem, ProblemCode, Selector, Session, Status, Target, Upstream, is_unseen},
    kill::{
        intake::request::{Asked, MAX_REASON},
        policy::{
            confirm::Given,
            targets::{Named, Targets},
        },
    },
    spans::Trace,
};

/// How much is kept of an abridged request, in bytes.
const ABRIDGED: usize = 1024;

/// Who asks, and from where: what is recorded beside the request.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The token's subject.
    pub caller: String,
    /// Who acts in the caller's name, where the token says so: then the caller is the person behind it.
    pub actor: Option<String>,
    /// The client that the token was made for, where it says so.
    pub client_id: Option<String>,
    /// The token's id, never the token.
    pub token_id: Option<String>,
    /// The address that the request came from.
    pub client_address: Option<String>,
    pub request_id: Option<String>,
    pub key: Option<IdempotencyKey>,
    /// Whether the caller may end sessions at all.
    pub may_kill: bool,
    /// Whether the caller's kills go before others.
    pub urgent: bool,
    /// Whether the caller may see the literals of statements.
    pub literals: bool,
    pub understood: Understood,
    /// Where the attempt stands in a trace.
    pub trace: Trace,
}

/// What was understood of a request, whatever was wrong with the rest of it.
#[derive(Debug, Clone, Default)]
pub struct Understood {
    target: Option<Value>,
    select: Option<Value>,
}

impl Context {
    /// The person behind a bot, as the token names it: its subject, where it says that somebody else acts.
    fn person(&self) -> Option<String> {
        self.actor.as_ref().map(|_| self.caller.clone())
    }
}

/// One attempt of an authenticated caller, valid or not.
#[derive(Debug, Clone)]
pub struct Submission {
    pub context: Context,
    /// What was sent: JSON, the beginning of anything else as a text, or nothing.
    pub request: Option<Value>,
    /// What it asks for, or why it is not done.
    pub asked: Result<Asked, Problem>,
}

impl Submission {
    /// Notes what is understood of it: the whole order, or at least a target that there is. One that its caller may not use is
    /// told only together with that: it is what hides the target from the caller.
    pub(in crate::kill) fn read(&mut self, targets: &Targets) {
        let named = || Named::read_whole(self.request.as_ref()?.get("target")?.into());
        let (target, select) = match &self.asked {
            Ok(asked) => (Some(asked.order.target.clone()), asked.select.clone()),
            Err(problem) => {
                let target = named().and_then(|named| targets.resolve(named).ok());
                let may_be_told = |target: &Target| {
                    problem.forbids_target() || targets.check_read(&self.context.caller, target).is_ok()
                };
                (target.filter(may_be_told), None)
            }
        };
        let target = target.and_then(|target| serde_json::to_value(target).ok());
        self.context.understood = Understood { target, select };
    }

    /// Notes that it turned out to be one that cannot be done. What is not done takes up no key.
    pub(in crate::kill) fn refuse(&mut self, problem: Problem) {
        let hid_target = self.asked.as_ref().is_err_and(Problem::forbids_target);
        if hid_target && !problem.forbids_target() {
            self.context.understood.target = None;
        }
        self.context.key = None;
        self.asked = Err(problem);
    }

    /// Keeps so much of the request as is kept of one that may fill nothing.
    pub(in crate::kill) fn abridge(&mut self) {
        let text = match &self.request {
            Some(Value::String(text)) => text.clone(),
            Some(json) => json.to_string(),
            None => return,
        };
        if text.len() > ABRIDGED {
            self.request = Some(format!("{}…", &text[..text.floor_char_boundary(ABRIDGED)]).into());
        }
    }
}

/// The kill as it is recorded before anything is done. What was understood of the submission goes into it.
pub(in crate::kill) fn first_record(submission: &mut Submission, now: OffsetDateTime) -> Kill {
    let Understood { target, select } = std::mem::take(&mut submission.context.understood);
    let sent_text = |name: &str| submission.request.as_ref()?.get(name)?.as_str().map(shown);
    let mut kill = Kill {
        id: id_at(now),
        status: Status::Pending,
        target,
        select,
        sessions: vec![],
        caller: submission.context.caller.clone(),
        on_behalf_of: submission.context.person().or_else(|| sent_text("on_behalf_of")),
        actor: submission.context.actor.clone(),
        reason: sent_text("reason"),
        upstream: Upstream::default(),
        problem: None,
        matched: None,
        sessions_known: None,
        note: None,
        end: None,
        blind: None,
        look: None,
        unlisted: vec![],
        found: Found::new(),
        confirms: None,
        requested_at: now,
        completed_at: None,
        verified_at: None,
        returned: None,
    };
    match &submission.asked {
        Ok(asked) => {
            kill.reason = Some(asked.reason.clone());
            kill.end = Some(asked.order.end).filter(|end| *end != End::Session);
            kill.on_behalf_of = submission.context.person().or_else(|| asked.on_behalf_of.clone());
            kill.confirms = asked.bound.as_ref().map(|bound| bound.preview);
            if let (false, Selector::Ids(ids)) = (asked.dry_run, &asked.order.selector) {
                // Not known until it is answered; a kill whose gateway dies keeps this.
                kill.sessions = ids.iter().map(|id| Session::new(id, Outcome::Unknown)).collect();
            }
        }
        Err(problem) => {
            kill.status = match problem.code {
                ProblemCode::Forbidden => Status::Refused,
                ProblemCode::RateLimited => Status::RateLimited,
                _ => Status::Failed,
            };
            kill.problem = Some(problem.clone());
            kill.completed_at = Some(now);
        }
    }
    kill
}

/// What is the same for two requests that ask for the same, however they are written.
#[must_use]
pub fn fingerprint(asked: &Asked) -> [u8; 32] {
    let Asked { order, pins: _, select, reason, on_behalf_of, dry_run, look, confirm, bound: _ } = asked;
    // Members of a JSON object are sorted here, so the text is the same for the same values.
    let understood = json!({
        "target": order.target,
        "select": select,
        "reason": reason,
        "on_behalf_of": on_behalf_of,
        "dry_run": dry_run,
        "look": look,
        "end": order.end,
        "confirm": confirm.as_ref().map(Given::expose),
    });
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, understood.to_string().as_bytes()).as_ref());
    fingerprint
}

/// Text of a request that was not checked, without what may not be stored.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).take(MAX_REASON).collect()
}
