//! What tells a session from another one that has its id later.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::LiveSession;

/// Whose session it was when it was looked at. What a vendor does not tell is `None` and tells nothing apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The database user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "report")]
    pub user: Option<String>,
    /// The client's address, with its port where the vendor tells it: the surest mark there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10.0.1.7:40007")]
    pub host: Option<String>,
    /// When the session began.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<OffsetDateTime>,
}

impl Identity {
    /// The identity of a session that is seen now.
    #[must_use]
    pub fn of(session: &LiveSession) -> Self {
        Self { user: session.user.clone(), host: session.host.clone(), started_at: session.started_at }
    }

    /// What of a session that is seen now contradicts this; `None` where nothing does, and it may be the same one.
    #[must_use]
    pub fn contradiction(&self, session: &LiveSession) -> Option<&'static str> {
        let differs = |known: &Option<String>, seen: &Option<String>| {
            known.as_ref().zip(seen.as_ref()).is_some_and(|(known, seen)| known != seen)
        };
        let began = self.started_at.zip(session.started_at).is_some_and(|(known, seen)| known != seen);
        [("user", differs(&self.user, &session.user)), ("host", differs(&self.host, &session.host)), ("start", began)]
            .into_iter()
            .find_map(|(what, differs)| differs.then_some(what))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::SessionId;

    #[test]
    fn only_what_is_known_of_both_can_contradict() {
        let text = |text: &str| Some(text.to_owned());
        let began = datetime!(2026-01-02 03:04:05 UTC);
        let unknown = LiveSession::new(SessionId("7".to_owned()));
        let session =
            LiveSession { user: text("app"), host: text("10.0.0.7:4"), started_at: Some(began), ..unknown.clone() };
        let identity = Identity::of(&session);
        assert_eq!((identity.contradiction(&session), identity.contradiction(&unknown)), (None, None));
        assert_eq!(Identity::default().contradiction(&session), None);
        let other = |other: LiveSession| identity.contradiction(&other);
        assert_eq!(other(LiveSession { user: text("App"), ..session.clone() }), Some("user"));
        assert_eq!(other(LiveSession { host: text("10.0.0.7:5"), ..session.clone() }), Some("host"));
        assert_eq!(other(LiveSession { started_at: Some(began + time::Duration::SECOND), ..session }), Some("start"));
    }
}
