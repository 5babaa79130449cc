//! `[login]`: as which client people's own programs ask the issuer for tokens.

use super::section::Section;

/// What `killgate login` asks the issuer with; none of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// A public client at the issuer, with the device flow on.
    pub client_id: String,
    /// What is asked for, words with spaces between; `openid` by default.
    pub scope: String,
    /// Whom tokens are for, for issuers that want to be told.
    pub audience: Option<String>,
}

impl Login {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.require(&["client_id"]);
        let client_id = section.text("client_id");
        let scope = section.text("scope").unwrap_or_else(|| "openid".to_owned());
        let audience = section.text("audience");
        Some(Self { client_id: client_id?, scope, audience })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};

    #[test]
    fn a_client_is_named_and_the_rest_may_be_left_out() {
        assert_eq!(read("").login, None);
        let login = read("[login]\nclient_id = 'killgate-cli'").login.unwrap();
        assert_eq!((login.client_id.as_str(), login.scope.as_str(), login.audience), ("killgate-cli", "openid", None));
        assert_eq!(
            problems("[login]\nscopes = 'openid'"),
            ["login.client_id: required", "login.scopes: unknown key, expected one of client_id, scope, audience"]
        );
    }
}
