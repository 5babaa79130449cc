//! Criteria that sessions are chosen by.
//!
//! The invariant: what is not known of a session meets no criterion, and spares it where that is excepted.

use std::cmp::Reverse;

use serde::{Serialize, Serializer};

use super::{Glob, LiveSession, Queues, glob};

/// What a text must be: any of these. In JSON one text stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyOf<T>(pub Vec<T>);

impl AnyOf<Glob> {
    /// That text and no other.
    #[must_use]
    pub fn exactly(text: &str) -> Self {
        Self(vec![Glob::exactly(text)])
    }

    /// The texts that are wanted, where each is named in full; `None` where others may fit too.
    #[must_use]
    pub fn names(&self) -> Option<Vec<&str>> {
        self.0.iter().map(Glob::literal).collect()
    }

    /// The only text that is wanted; `None` where several are.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        if let [only] = self.0.as_slice() { only.literal() } else { None }
    }

    /// Whether each of them says something: any may be what a session is met by.
    fn all_name(&self) -> bool {
        self.0.iter().all(Glob::names)
    }
}

impl Serialize for AnyOf<Glob> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_many(self.0.iter().map(Glob::as_str), serializer)
    }
}

impl Serialize for AnyOf<String> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_many(self.0.iter().map(String::as_str), serializer)
    }
}

fn one_or_many<'t, S: Serializer>(
    texts: impl ExactSizeIterator<Item = &'t str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let texts: Vec<_> = texts.collect();
    if let [one] = texts.as_slice() { serializer.serialize_str(one) } else { serializer.collect_seq(texts) }
}

/// Criteria for a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Criteria {
    /// The database user the session belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<AnyOf<Glob>>,
    /// The database the session is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<AnyOf<Glob>>,
    /// The client's address, with its port or without; upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<AnyOf<Glob>>,
    /// The kind of work; upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<AnyOf<Glob>>,
    /// Upper and lower case are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AnyOf<Glob>>,
    /// Pieces of the statement, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<AnyOf<String>>,
    /// Fewest seconds for which it has been doing what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_seconds: Option<u64>,
    /// Fewest seconds for which its transaction has been open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_transaction_seconds: Option<u64>,
    /// Whether it does nothing while its transaction is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_in_transaction: Option<bool>,
    /// Whether others wait for it, and it for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking: Option<bool>,
}

impl Criteria {
    /// The names of what is given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        let Self { user, database, host, command, state, statement, min_seconds, .. } = self;
        let given = [
            ("user", user.is_some()),
            ("database", database.is_some()),
            ("host", host.is_some()),
            ("command", command.is_some()),
            ("state", state.is_some()),
            ("min_seconds", min_seconds.is_some()),
            ("statement", statement.is_some()),
            ("min_transaction_seconds", self.min_transaction_seconds.is_some()),
            ("idle_in_transaction", self.idle_in_transaction.is_some()),
            ("blocking", self.blocking.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    /// Of each criterion that is given, whether the session meets it; `None` where that is not known.
    fn tests<'a>(
        &'a self,
        session: &'a LiveSession,
        Blockers { queues, complete }: &'a Blockers<'_>,
    ) -> impl Iterator<Item = Option<bool>> + 'a {
        type Fits = fn(&Glob, &str) -> bool;
        // What could not be read may be anything.
        let known = |text: &str, fits: bool| (fits || !text.contains(char::REPLACEMENT_CHARACTER)).then_some(fits);
        let of_text = move |wanted: &'a Option<AnyOf<Glob>>, held: &'a Option<String>, fits: Fits| {
            let is =
                move |held: &String, wanted: &AnyOf<Glob>| known(held, wanted.0.iter().any(|glob| fits(glob, held)));
            wanted.as_ref().map(|wanted| held.as_ref().and_then(|held| is(held, wanted)))
        };
        let at_least = |least: Option<u64>, held: Option<u64>| least.map(|least| held.map(|held| held >= least));
        let at_host = |wanted: &AnyOf<Glob>| {
            let is = wanted.0.iter().any(|glob| session.is_at(|host| glob.matches_any_case(host)));
            session.host.as_ref().and_then(|host| known(host, is))
        };
        let runs = |wanted: &AnyOf<String>| {
            let has = |held: &String| known(held, wanted.0.iter().any(|piece| held.contains(piece)));
            session.statement.as_ref().and_then(has)
        };
        let is_blocking = || {
            let waits = !session.blocked_by.is_empty();
            let is = !waits && !queues.behind(&session.id).is_empty();
            (is || waits || *complete).then_some(is)
        };
        let tests = [
            of_text(&self.user, &session.user, Glob::matches),
            of_text(&self.database, &session.database, Glob::matches),
            self.host.as_ref().map(at_host),
            of_text(&self.command, &session.command, Glob::matches_any_case),
            of_text(&self.state, &session.state, Glob::matches_any_case),
            at_least(self.min_seconds, session.seconds),
            self.statement.as_ref().map(runs),
            at_least(self.min_transaction_seconds, session.transaction_seconds),
            self.idle_in_transaction.map(|wanted| Some(session.is_idle_in_transaction() == wanted)),
            self.blocking.map(|wanted| is_blocking().map(|is| is == wanted)),
        ];
        tests.into_iter().flatten()
    }
}

/// Who waits for whom on a list, and whether it holds everybody.
struct Blockers<'s> {
    queues: Queues<'s>,
    complete: bool,
}

/// Criteria that a session must meet, all of those given, and how many of those that do are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    #[serde(flatten)]
    pub criteria: Criteria,
    /// Whoever meets any one of these is not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<Criteria>,
    /// Most sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Which go before others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Ranking>,
}

/// Which of the sessions that meet the criteria go before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Most seconds first; those of which that is not known, last.
    Longest,
    /// The latest to begin first; where that is not known, fewest seconds first, and last those without either.
    Newest,
}

impl Ranking {
    pub const ALL: [Self; 2] = [Self::Longest, Self::Newest];

    /// The word in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Longest => "longest",
            Self::Newest => "newest",
        }
    }

    /// Equals stay as the vendor listed them.
    fn sort(self, sessions: &mut [&LiveSession]) {
        match self {
            Self::Longest => sessions.sort_by_key(|session| Reverse(session.seconds)),
            Self::Newest => sessions.sort_by_key(|session| {
                let seconds = session.seconds.unwrap_or(u64::MAX);
                (session.started_at.is_none(), Reverse(session.started_at), seconds)
            }),
        }
    }
}

impl From<Criteria> for Match {
    fn from(criteria: Criteria) -> Self {
        Self { criteria, ..Self::default() }
    }
}

impl Match {
    /// The sessions of that user.
    #[must_use]
    pub fn of_user(user: &str) -> Self {
        Criteria { user: Some(AnyOf::exactly(user)), ..Criteria::default() }.into()
    }

    /// The sessions in that database.
    #[must_use]
    pub fn in_database(database: &str) -> Self {
        Criteria { database: Some(AnyOf::exactly(database)), ..Criteria::default() }.into()
    }

    /// The names of what is given.
    #[must_use]
    pub fn given(&self) -> Vec<&'static str> {
        let others =
            [("except", self.except.is_some()), ("limit", self.limit.is_some()), ("order", self.order.is_some())];
        let others = others.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
        self.criteria.given().into_iter().chain(others).collect()
    }

    /// Whether it says whose sessions are meant, or what they do: not only how long, in which state, or whose are not, and
    /// not with stars and separators alone.
    #[must_use]
    pub fn names_something(&self) -> bool {
        let Criteria { user, database, host, command, statement, .. } = &self.criteria;
        let named = |of: &Option<AnyOf<Glob>>| of.as_ref().is_some_and(AnyOf::all_name);
        let runs = statement.as_ref().is_some_and(|pieces| pieces.0.iter().all(|piece| glob::names(piece)));
        runs || [user, database, host, command].into_iter().any(named)
    }

    /// The sessions of a list that are meant: [those that meet every criterion](Self::met_by), in order, and no more than
    /// the limit.
    #[must_use]
    pub fn pick<'s>(&self, sessions: &'s [LiveSession], complete: bool) -> Vec<&'s LiveSession> {
        self.first_of(self.met_by(sessions, complete))
    }

    /// Of all the sessions that meet every criterion, those that are meant.
    #[must_use]
    pub fn first_of<'s>(&self, mut met: Vec<&'s LiveSession>) -> Vec<&'s LiveSession> {
        if let Some(order) = self.order {
            order.sort(&mut met);
        }
        met.truncate(self.limit.unwrap_or(usize::MAX));
        met
    }

    /// All the sessions of a list that meet every criterion; of those that others wait for, the head of the longest queue first. Whether the list is `complete` decides what is known of who
    /// waits for whom.
    #[must_use]
    pub fn met_by<'s>(&self, sessions: &'s [LiveSession], complete: bool) -> Vec<&'s LiveSession> {
        let queues = if self.asks_who_blocks() { Queues::of(sessions) } else { Queues::default() };
        let blockers = Blockers { queues, complete };
        // Whoever may be excepted is spared.
        let may_be_spared = |session: &LiveSession| {
            self.except
                .as_ref()
                .is_some_and(|except| except.tests(session, &blockers).any(|meets| meets != Some(false)))
        };
        let is_met = |session: &&'s LiveSession| {
            self.criteria.tests(session, &blockers).all(|meets| meets == Some(true)) && !may_be_spared(session)
        };
        let mut met: Vec<_> = sessions.iter().filter(is_met).collect();
        if self.criteria.blocking == Some(true) {
            met.sort_by_key(|session| Reverse(blockers.queues.length(&session.id)));
        }
        met
    }

    /// Whether it matters who waits for whom: then the whole list is needed.
    #[must_use]
    pub fn asks_who_blocks(&self) -> bool {
        [Some(&self.criteria), self.except.as_ref()].into_iter().flatten().any(|criteria| criteria.blocking.is_some())
    }
}

#[cfg(test)]
mod tests;
