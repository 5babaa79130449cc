//! `[console]`: the pages at `/`.

use url::Url;

use super::{Auth, address, section::Section};

/// What a token is asked for at the issuer, unless configured otherwise.
const SCOPE: &str = "openid sessions:read sessions:kill kills:read kills:export";

/// The pages at `/`, for people.
#[derive(Debug, Clone)]
pub struct Console {
    /// Whether they are there; `false` by default.
    pub enabled: bool,
    /// Who logs people in; without it they paste a token.
    pub login: Option<CodeFlow>,
}

/// Logging in at the issuer, by OAuth 2.0 code flow with PKCE.
#[derive(Debug, Clone)]
pub struct CodeFlow {
    /// As whom the console is known at the issuer: a public client, which has no secret.
    pub client_id: String,
    /// What a token is asked for.
    pub scope: String,
    /// `auth.issuer`, under which its discovery document is, and `auth.audience`.
    pub issuer: String,
    pub audience: String,
    /// Whom browsers ask: the issuer, and where else it has them ask, such as its token endpoint.
    pub origins: Vec<Url>,
}

impl Console {
    pub(super) fn read(section: &mut Section<'_>, auth: Option<&Auth>) -> Self {
        let enabled = section.flag("enabled").unwrap_or(false);
        let client_id = section.text("client_id");
        let scope = section.text("scope").unwrap_or_else(|| SCOPE.to_owned());
        let expected = "must be a list of one or more https URLs";
        let origins = section.list_of("origins", expected, |text| address::endpoint(text, false)).unwrap_or_default();
        for key in ["scope", "origins"] {
            if section.has(key) && !section.has("client_id") {
                section.problem(key, "goes with client_id only");
            }
        }
        let login = client_id.and_then(|client_id| {
            let issuers = auth.into_iter().flat_map(|auth| &auth.issuers);
            // Of several the first one logs people in.
            let mut at = issuers.filter_map(|issuer| Some((address::endpoint(&issuer.issuer, false)?, issuer)));
            let Some((url, auth)) = at.next() else {
                section.problem("client_id", "needs an auth.issuer that is an https URL (http is allowed to loopback)");
                return None;
            };
            let origins = [url].into_iter().chain(origins).collect();
            Some(CodeFlow { client_id, scope, issuer: auth.issuer.clone(), audience: auth.audience.clone(), origins })
        });
        Self { enabled, login }
    }

    /// In a few words.
    pub(super) fn describe(&self) -> String {
        match (self.enabled, &self.login) {
            (false, _) => "off".to_owned(),
            (true, None) => "on at /, for whoever pastes a token".to_owned(),
            (true, Some(login)) => format!("on at /, login at {} as {}", login.issuer, login.client_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};

    const AUTH: &str = "[auth]\nissuer = 'https://sso.example.com/realm'\naudience = 'killgate'\n\
                        jwks_url = 'https://sso.example.com/keys'\n";

    #[test]
    fn it_is_off_unless_one_key_says_otherwise() {
        let off = read("").console;
        assert!(!off.enabled && off.login.is_none());
        let config = read("[console]\nenabled = true");
        assert!(config.console.enabled && config.console.login.is_none());
        assert!(config.summary().contains(&"console: on at /, for whoever pastes a token".to_owned()));
    }

    #[test]
    fn a_client_logs_people_in_at_the_issuer() {
        let text =
            format!("{AUTH}[console]\nenabled = true\nclient_id = 'console'\norigins = ['https://token.example.com']");
        let login = read(&text).console.login.unwrap();
        assert_eq!((login.client_id.as_str(), login.issuer.as_str()), ("console", "https://sso.example.com/realm"));
        assert_eq!(login.audience, "killgate");
        assert!(login.scope.starts_with("openid ") && login.origins.len() == 2);
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let list = "console.origins: must be a list of one or more https URLs";
        assert_eq!(
            problems("[console]\nenabled = 'perhaps'\nscope = 'openid'\norigins = ['http://example.com']\nkind = 1"),
            [
                "console.enabled: must be true or false, not \"perhaps\"",
                list,
                "console.scope: goes with client_id only",
                "console.origins: goes with client_id only",
                "console.kind: unknown key, expected one of enabled, client_id, scope, origins",
            ]
        );
        assert_eq!(
            problems("[console]\nclient_id = 'console'"),
            ["console.client_id: needs an auth.issuer that is an https URL (http is allowed to loopback)"]
        );
    }
}
