//! Binding a kill to its preview: who needs a confirm, who is given one, and what one lets a kill end.
//!
//! The invariant: a kill that comes with a confirm is about the sessions that its preview showed as `alive`, by the
//! identities that were seen then, and about no others. Whoever needs a confirm and has none sends nothing.

use std::{collections::BTreeMap, time::Duration};

use time::OffsetDateTime;

use crate::{
    domain::{
        End, Glob, Kill, KillId, Match, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId, Status,
        Unlisted,
    },
    kill::{
        intake::{request::Asked, submission::Submission},
        look::victims::Pin,
        policy::{
            Policy,
            confirm::{Given, Key, Terms},
            targets::Targets,
        },
        record::Record,
    },
    upstream,
};

/// Who needs a confirm, and how long one is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub ttl: Duration,
    /// A `match` with more victims than this needs one.
    pub above: usize,
    /// Whether `intelligent` needs one.
    pub intelligent: bool,
    /// Callers that always need one.
    pub callers: Vec<Glob>,
    /// Targets that always need one, by alias; a place without an alias fits `*` alone.
    pub targets: Vec<Glob>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { ttl: Duration::from_mins(5), above: 10, intelligent: false, callers: vec![], targets: vec![] }
    }
}

/// The rules, and what confirms are made and checked with.
#[derive(Debug)]
pub struct Confirming {
    pub key: Key,
    pub rules: Rules,
}

/// A confirm as it is given out. No `Debug`: whoever has it may end sessions with it.
#[expect(missing_debug_implementations, reason = "it holds a token")]
pub struct Confirm {
    pub token: String,
    /// From then on it is not taken any more.
    pub until: OffsetDateTime,
}

/// What a confirm binds a kill to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub preview: KillId,
    /// What the preview's list was asked for, where that was a `match`.
    pub listed_by: Match,
    /// Where the preview could not see all sessions.
    pub unlisted: Vec<Unlisted>,
}

impl Rules {
    /// Whether kills need a confirm before anybody looks at their sessions.
    pub(in crate::kill) fn need(&self, targets: &Targets, caller: &str, order: &Order) -> Option<&'static str> {
        let fits = |patterns: &[Glob], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let of_target = || {
            let mut aliases = targets.aliases_of(&order.target).peekable();
            if aliases.peek().is_none() { fits(&self.targets, "") } else { aliases.any(|it| fits(&self.targets, it)) }
        };
        if fits(&self.callers, caller) {
            Some("every kill of this caller")
        } else if of_target() {
            Some("every kill at this target")
        } else if self.intelligent && order.selector == Selector::Intelligent {
            Some("an intelligent kill")
        } else if matches!(&order.selector, Selector::Match(wanted) if !wanted.names_something()) {
            Some("a match that names neither user, database, host, command nor statement")
        } else {
            None
        }
    }

    /// Whether a `match` may go without a confirm, now that its victims are known.
    ///
    /// # Errors
    /// `invalid` where it may not.
    pub(in crate::kill) fn check_match(&self, victims: usize) -> Result<(), Problem> {
        if victims <= self.above {
            return Ok(());
        }
        let above = self.above;
        Err(missing(&format!("a match with more than {above} sessions, and this one has {victims}")))
    }
}

fn missing(what: &str) -> Problem {
    let sentence =
        format!("is required for {what}: ask with \"dry_run\": true first, and send the confirm of its answer");
    Problem::invalid("confirm", sentence)
}

impl Policy {
    /// The confirm for a kill that is a preview, until it has run out; `None` where there is nothing to confirm, or the
    /// kill that was asked for would not be done.
    ///
    /// The same preview gives the same confirm, so a repeated request with its key gets it again.
    pub(in crate::kill) fn confirm(&self, kill: &Kill, now: OffsetDateTime) -> Option<Confirm> {
        let Confirming { key, rules } = &self.confirming;
        let until = kill.requested_at + rules.ttl;
        let (target, select) = (kill.target.as_ref()?, kill.select.as_ref()?);
        let picks = || upstream::find(target.get("vendor")?.as_str()?)?.capabilities().picks().then_some(());
        let is_left_to_database = select.get("intelligent").is_some() && picks().is_some();
        let many = alive(kill).count();
        let can_go = is_left_to_database || many > 0 && self.caps.check_kill(many).is_ok();
        let can_go = can_go && kill.problem.is_none();
        let is_good = kill.status == Status::Preview && can_go && now < until;
        let token = || key.mint(kill.id, until, &Terms::of(&kill.caller, target, select, kill.end.unwrap_or_default()));
        is_good.then(|| Confirm { token: token(), until })
    }

    /// The submission as it may be recorded: bound to its preview where it has a confirm, and turned away where it
    /// needs one, or is about too many sessions.
    ///
    /// # Errors
    /// `audit_unavailable` where the record could not be read.
    pub(in crate::kill) async fn vet(
        &self,
        mut submission: Box<Submission>,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<Box<Submission>, Problem> {
        let Ok(asked) = submission.asked else { return Ok(submission) };
        let caller = &submission.context.caller;
        let vetted = match self.bound(caller, asked, record, now).await {
            Ok(asked) => self.caps.check_kill(asked.order.selector.ids().len()).map(|()| asked),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = &vetted
            && problem.code == ProblemCode::AuditUnavailable
        {
            return Err(problem.clone());
        }
        submission.asked = vetted;
        Ok(submission)
    }

    /// What is asked, about the sessions of its preview alone where it has a confirm.
    async fn bound(
        &self,
        caller: &str,
        mut asked: Asked,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<Asked, Problem> {
        if asked.dry_run {
            return Ok(asked);
        }
        let Confirming { rules, .. } = &self.confirming;
        let Some(given) = asked.confirm.take() else {
            return match rules.need(&self.targets, caller, &asked.order) {
                Some(what) => Err(missing(what)),
                None => Ok(asked),
            };
        };
        let preview = self.preview_of(caller, &asked, &given, record, now).await?;
        let listed_by = match &asked.order.selector {
            Selector::Match(criteria) => Match::clone(criteria),
            Selector::Ids(_) | Selector::Intelligent => Match::default(),
        };
        if asked.order.selector != Selector::Intelligent || !upstream::picks(&asked.order.target) {
            // Who was chosen for a statement is not who runs another one by now.
            let same_statement = asked.order.end == End::Statement || asked.order.selector == Selector::Intelligent;
            let pins = alive(&preview).map(|session| {
                let id = SessionId(session.id.clone());
                let given = asked.pins.get(&id).cloned().unwrap_or_default();
                (id, Pin { identity: session.identity.clone(), same_statement, ..given })
            });
            let pins: Vec<_> = pins.collect();
            asked.order.selector = Selector::Ids(pins.iter().map(|(id, _)| id.clone()).collect());
            asked.pins = pins.into_iter().collect::<BTreeMap<_, _>>();
        }
        asked.bound = Some(Bound { preview: preview.id, listed_by, unlisted: preview.unlisted });
        Ok(asked)
    }

    /// The recorded preview that a confirm stands for.
    async fn preview_of(
        &self,
        caller: &str,
        asked: &Asked,
        given: &Given,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<Kill, Problem> {
        let wrong = |sentence: &str| Problem::invalid("confirm", sentence);
        let target = serde_json::to_value(&asked.order.target).unwrap_or_default();
        let terms = Terms::of(caller, &target, asked.select.as_ref().unwrap_or_default(), asked.order.end);
        let id = self.confirming.key.check(given.expose(), now, &terms);
        let id = id.map_err(|refusal| wrong(refusal.sentence()))?;
        let preview = record.find(id).await?.filter(|kill| kill.status == Status::Preview && kill.caller == caller);
        preview.ok_or_else(|| wrong("is of a preview that is not on this gateway's record: preview again"))
    }
}

/// The sessions that a preview showed and that would have been sent.
fn alive(preview: &Kill) -> impl Iterator<Item = &Session> {
    preview.sessions.iter().filter(|session| session.outcome == Outcome::Alive)
}
