//! `[accounts.NAME]`: credentials, region and endpoints at one cloud, or a login at database servers.

use std::{borrow::Cow, collections::BTreeMap};

use url::Url;

use super::{
    LimitOverrides, Vendors, address,
    section::{Naming, Section},
    servers, vendors,
};
use crate::upstream::{
    Cloud, Site,
    account::server,
    cloud::{self, Identity, Service},
};

/// What an account may be called.
pub(super) const NAME: Naming<fn(&str) -> bool> =
    Naming(Cow::Borrowed("the name must be 1 to 64 of 0-9 a-z _ -"), |name| {
        let fine = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || matches!(b, b'_' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(fine)
    });

/// Who killgate is, and where.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub place: Place,
    /// Limits for this account, by vendor.
    pub vendors: BTreeMap<String, LimitOverrides>,
}

/// Where an account is.
#[derive(Debug, Clone)]
pub enum Place {
    Cloud(AtCloud),
    /// At database servers: the engine that they are, and how to reach them.
    Servers {
        engine: String,
        settings: server::Settings,
    },
}

/// Credentials, region and endpoints at one cloud.
#[derive(Debug, Clone)]
pub struct AtCloud {
    pub cloud: &'static dyn Cloud,
    pub region: String,
    /// Where nothing is said, what its endpoints say.
    pub site: Site,
    /// What the cloud asks of an account.
    pub identity: Identity,
    /// Base addresses by vendor, and by service of the cloud.
    pub endpoints: BTreeMap<String, Url>,
    /// `ca_file`: certificates of authorities that the endpoints may have theirs from, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
}

impl Account {
    pub(super) fn read(name: &str, section: &mut Section<'_>, vendors: &Vendors) -> Option<Self> {
        let place = if section.has("engine") {
            servers::read(section, vendors).map(|(engine, settings)| Place::Servers { engine, settings })
        } else {
            AtCloud::read(section, vendors).map(Place::Cloud)
        };
        let limits = section.tables("vendors", vendors::known_as(vendors), LimitOverrides::read);
        Some(Self { name: name.to_owned(), place: place?, vendors: limits })
    }

    /// Whether it can reach that vendor.
    #[must_use]
    pub fn reaches(&self, vendor: &str) -> bool {
        match &self.place {
            Place::Cloud(cloud) => cloud.endpoints.contains_key(vendor),
            Place::Servers { engine, .. } => engine == vendor,
        }
    }

    /// Which of its cloud's sites it is at, where there are several.
    #[must_use]
    pub fn site(&self) -> Site {
        match &self.place {
            Place::Cloud(cloud) => cloud.site,
            Place::Servers { .. } => Site::default(),
        }
    }
}

impl AtCloud {
    fn read(section: &mut Section<'_>, vendors: &Vendors) -> Option<Self> {
        section.require(&["cloud", "region", "endpoints"]);
        let Some(cloud) = section.parsed("cloud", &expected(), cloud::find) else {
            section.ignore_rest();
            return None;
        };
        let region = section.parsed("region", "must be a region such as ap-guangzhou", |text| {
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            ((1..=64).contains(&text.len()) && text.bytes().all(fine)).then(|| text.to_owned())
        });
        let identity = cloud.identity(section);
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let authorities = section.authorities("ca_file");
        let source = identity.as_ref().and_then(|identity| identity.credentials.service());
        let needed = |service: &&Service| {
            source == Some(service.name) || service.needed_with.iter().any(|field| section.has(field))
        };
        let needed: Vec<_> = cloud.services().iter().filter(needed).map(|service| service.name).collect();
        let endpoints = section.table("endpoints", |section| {
            section.require(&needed);
            endpoints(section, cloud, allow_http, vendors)
        });
        let (identity, region) = (identity?, region?);
        let site = identity.site.unwrap_or_else(|| site_of(cloud, &endpoints));
        Some(Self { cloud, region, site, identity, endpoints, authorities })
    }
}

/// What `cloud` may be.
fn expected() -> String {
    let names: Vec<_> = cloud::TABLE.iter().map(|cloud| cloud.name()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("must be {} or {last}", others.join(", ")),
        _ => format!("must be {}", names.concat()),
    }
}

/// The site that endpoints are of.
fn site_of(cloud: &dyn Cloud, endpoints: &BTreeMap<String, Url>) -> Site {
    let Some(site_of) = cloud.sites() else { return Site::default() };
    let sites = endpoints.values().filter_map(Url::host_str).map(site_of);
    sites.max_by_key(|site| *site != Site::default()).unwrap_or_default()
}

fn endpoints(
    section: &mut Section<'_>,
    cloud: &'static dyn Cloud,
    allow_http: bool,
    vendors: &Vendors,
) -> BTreeMap<String, Url> {
    let of_cloud = vendors.iter().filter(|(_, by)| by.cloud() == Some(cloud)).map(|(name, _)| *name);
    let names = of_cloud.chain(cloud.services().iter().map(|service| service.name));
    names
        .filter_map(|name| {
            let url = section.parsed(name, address::ENDPOINT, |text| address::endpoint(text, allow_http))?;
            Some((name.to_owned(), url))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HUAWEI, TENCENT, at_cloud, problems, read, read_with};
    use super::*;
    use crate::upstream::{credentials::Credentials, sign::Keys};

    #[test]
    fn a_huawei_account_takes_a_key_pair_or_a_user() {
        let config = read(HUAWEI);
        let account = at_cloud(&config.accounts["h"]);
        assert_eq!((account.cloud.name(), account.region.as_str()), ("huawei", "r-1"));
        assert!(matches!(account.identity.credentials, Credentials::Keys(Keys { token: None, .. })));
        let user = "[accounts.h]\ncloud = 'huawei'\nregion = 'r'\n\
                    iam = { domain = 'd', username = 'u', password = 'canary' }\n\
                    endpoints = { das = 'https://das:8443/p', iam = 'http://127.0.0.1:1' }";
        let config = read(user);
        let account = at_cloud(&config.accounts["h"]);
        assert_eq!(account.identity.project_id, None);
        assert_eq!(account.endpoints["das"].as_str(), "https://das:8443/p");
        assert!(
            matches!(&account.identity.credentials, Credentials::Temporary(user) if user.who() == ["user", "d", "u"])
        );
        assert!(!format!("{account:?}").contains("canary"));
    }

    #[test]
    fn what_a_cloud_may_be_called_is_told() {
        let expected = expected();
        assert!(expected.starts_with("must be huawei") && expected.contains("tencent"), "{expected}");
        assert_eq!((expected.matches(" or ").count(), expected.matches(", ").count()), (1, cloud::TABLE.len() - 2));
    }

    #[test]
    fn a_tencent_account_is_at_the_site_that_it_or_its_endpoint_says() {
        let site = |toml: &str| read(toml).accounts["t"].site();
        let intl = TENCENT.replace("https://dcdb.", "https://dcdb.intl.");
        let said = |site| format!("{TENCENT}site = '{site}'");
        assert_eq!((site(TENCENT), site(&intl)), (Site::Mainland, Site::International));
        assert_eq!(site(&said("international")), Site::International);
        assert_eq!(site(&format!("{intl}site = 'mainland'")), Site::Mainland, "a proxy may be called anything");
        assert_eq!(problems(&said("moon")), ["accounts.t.site: must be mainland or international"]);
        let of_huawei = problems(&format!("{HUAWEI}site = 'mainland'"));
        assert!(of_huawei[0].starts_with("accounts.h.site: unknown key"), "{of_huawei:?}");
    }

    #[test]
    fn http_beyond_loopback_is_refused_unless_the_account_says_so() {
        let toml = TENCENT.replace("https://", "http://");
        let expected = "accounts.t.endpoints.dcdb: must be an https URL (http is allowed to loopback or with \
                        allow_http = true) without user, query or fragment";
        assert_eq!(problems(&toml), [expected]);
        let allowed = toml.replace("[accounts.t]", "[accounts.t]\nallow_http = true");
        assert!(read(&allowed).accounts.contains_key("t"));
    }

    #[test]
    fn what_is_missing_is_told_with_its_path() {
        let required = |key| format!("accounts.a.{key}: required");
        let all = ["cloud", "region", "endpoints"].map(required);
        assert_eq!(problems("[accounts.a]\nsecret_kye = 'canary'"), all);
        let huawei = problems("[accounts.a]\ncloud = 'huawei'\nregion = 'r'\nendpoints = {}");
        let one = "accounts.a: exactly one of iam, keys, access_key with secret_key is required";
        assert_eq!(huawei, [required("project_id"), one.to_owned()]);
        let tencent = problems("[accounts.a]\ncloud = 'tencent'\nregion = 'r'\nendpoints = {}");
        assert_eq!(tencent, ["accounts.a: exactly one of keys, secret_id with secret_key is required"]);
        let iam = "[accounts.a]\ncloud = 'huawei'\nregion = 'r'\niam = { domain = 'd' }\nendpoints = {}";
        assert_eq!(problems(iam), ["iam.username", "iam.password", "endpoints.iam"].map(required));
        let no_endpoint = iam.replace("domain = 'd'", "domain = 'd', username = 'u', password = 'canary'");
        assert_eq!(problems(&no_endpoint), [required("endpoints.iam")]);
    }

    /// An account at a cloud with these lines beside its region.
    fn at(cloud: &str, more: &str) -> String {
        let project = if cloud == "huawei" { "project_id = '0123456789abcdef0123456789abcdef'\n" } else { "" };
        let usual = format!("[accounts.a]\ncloud = '{cloud}'\nregion = 'r'\n{project}");
        let endpoints = if more.contains("endpoints") { "" } else { "endpoints = {}\n" };
        usual + endpoints + more
    }

    #[test]
    fn keys_that_end_come_from_one_source_that_has_a_name() {
        let described = |cloud: &str, more: &str| {
            let config = read_with(&at(cloud, more), &TKE).unwrap_or_else(|error| panic!("{error}"));
            let Credentials::Temporary(source) = &at_cloud(&config.accounts["a"]).identity.credentials else {
                panic!()
            };
            let who = source.who().join(" ");
            assert!(!format!("{config:?} {:?}", config.summary()).contains("canary"), "{more}");
            (source.describe(), who)
        };
        let agency = "assume_role = { agency_name = 'n', domain_name = 'd', duration_seconds = 900 }\n\
                      endpoints.iam = 'https://iam'\n";
        let role = "assume_role = { role_arn = 'arn', role_session_name = 'killgate', external_id = 'e' }\n\
                    endpoints.sts = 'https://sts'\n";
        let keys = "access_key = 'canary-id'\nsecret_key = 'canary-key'\n";
        let user = "iam = { domain = 'd', username = 'u', password = 'canary' }\n";
        let secrets = "secret_id = 'canary-id'\nsecret_key = 'canary-key'\n";
        let project = "0123456789abcdef0123456789abcdef";
        for (cloud, more, describe, who) in [
            (
                "huawei",
                "keys.from = 'ecs-agency'".to_owned(),
                "ECS agency",
                format!("ecs-agency {project} http://169.254.169.254/"),
            ),
            ("huawei", format!("{keys}{agency}"), "agency", "agency d n".to_owned()),
            ("huawei", format!("{user}{agency}"), "agency", "agency d n".to_owned()),
            (
                "tencent",
                "keys.from = 'cvm-role'".to_owned(),
                "CVM role",
                "cvm-role  http://metadata.tencentyun.com/".to_owned(),
            ),
            (
                "tencent",
                "keys = { from = 'cvm-role', role = 'r', endpoint = 'http://127.0.0.1:9' }".to_owned(),
                "CVM role",
                "cvm-role r http://127.0.0.1:9/".to_owned(),
            ),
            ("tencent", format!("{secrets}{role}"), "assumed role", "role arn".to_owned()),
            (
                "tencent",
                "keys = { from = 'tke-oidc', role_arn = 'other' }\nendpoints.sts = 'https://sts'".to_owned(),
                "role of a TKE pod",
                "role other".to_owned(),
            ),
        ] {
            assert_eq!(described(cloud, &more), (describe, who), "{more}");
        }
    }

    const TKE: [(&str, &str); 3] = [
        ("TKE_ROLE_ARN", "arn"),
        ("TKE_PROVIDER_ID", "cls-1"),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/tke/token"),
    ];

    #[test]
    fn several_sources_half_a_source_and_a_wrong_one_are_told_by_their_keys() {
        let huawei = "exactly one of iam, keys, access_key with secret_key is required";
        let tencent = "exactly one of keys, secret_id with secret_key is required";
        let pair = "access_key = 'canary'\nsecret_key = 'canary'\n";
        let secrets = "secret_id = 'canary'\nsecret_key = 'canary'\n";
        let agency = "assume_role = { agency_name = 'n', domain_name = 'd' }\n";
        let machine = "keys.from = 'ecs-agency'\n";
        for (cloud, more, told) in [
            ("huawei", format!("{machine}{pair}"), vec![format!(": {huawei}")]),
            (
                "huawei",
                format!("{machine}{agency}"),
                vec![
                    ".assume_role: goes with iam or with access_key and secret_key, and not with keys".to_owned(),
                    ".endpoints.iam: required".to_owned(),
                ],
            ),
            ("huawei", format!("{pair}{agency}"), vec![".endpoints.iam: required".to_owned()]),
            ("huawei", "keys = {}".to_owned(), vec![".keys.from: required".to_owned()]),
            ("huawei", "keys.from = 'cvm-role'".to_owned(), vec![".keys.from: must be ecs-agency".to_owned()]),
            (
                "huawei",
                "keys = { from = 'ecs-agency', endpoint = 'http://10.0.0.1', role = 'r' }".to_owned(),
                vec![
                    format!(".keys.endpoint: {}", address::METADATA),
                    ".keys.role: unknown key, expected one of endpoint, from".to_owned(),
                ],
            ),
            (
                "huawei",
                format!(
                    "{pair}assume_role = {{ agency_name = 'n', duration_seconds = 899 }}\nendpoints.iam = 'https://i'"
                ),
                vec![
                    ".assume_role.domain_name: required".to_owned(),
                    ".assume_role.duration_seconds: must be a whole number from 900 to 86400, not 899".to_owned(),
                ],
            ),
            ("tencent", format!("{secrets}keys.from = 'cvm-role'"), vec![format!(": {tencent}")]),
            (
                "tencent",
                "keys = { from = 'cvm-role', role = 'a b' }".to_owned(),
                vec![".keys.role: must be 1 to 128 letters, digits or = , . @ _ + -".to_owned()],
            ),
            (
                "tencent",
                format!(
                    "{secrets}assume_role = {{ role_arn = 'a', role_session_name = 'x', duration_seconds = 43201 }}"
                ),
                vec![
                    ".assume_role.role_session_name: must be 2 to 128 letters, digits or = , . @ _ -".to_owned(),
                    ".assume_role.duration_seconds: must be a whole number from 1 to 43200, not 43201".to_owned(),
                    ".endpoints.sts: required".to_owned(),
                ],
            ),
            (
                "tencent",
                "keys.from = 'tke-oidc'".to_owned(),
                vec![
                    ".keys.role_arn: required, here or as TKE_ROLE_ARN in the environment".to_owned(),
                    ".keys.provider_id: required, here or as TKE_PROVIDER_ID in the environment".to_owned(),
                    ".keys.web_identity_token_file: required, here or as TKE_WEB_IDENTITY_TOKEN_FILE in the environment"
                        .to_owned(),
                ],
            ),
        ] {
            let told: Vec<_> = told.into_iter().map(|text| format!("accounts.a{text}")).collect();
            assert_eq!(problems(&at(cloud, &more)), told, "{more}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path_and_without_secrets() {
        let both = format!("{HUAWEI}iam = {{ domain = 'd', username = 'u', password = 'canary' }}");
        let one = "accounts.h: exactly one of iam, keys, access_key with secret_key is required";
        assert_eq!(problems(&both), [one, "accounts.h.endpoints.iam: required"]);
        let told = problems(
            "[accounts.Big]\ncloud = 'azure'\n[accounts.a]\ncloud = 'tencent'\nregion = 'r r'\n\
             secret_id = 1234567\nsecret_key = ['canary']\ntoken = { env = 'canary' }\naccess_key = 'canary'\n\
             endpoints = { das = 'https://canary', dcdb = 'https://u:canary@h' }",
        );
        let secret = "must be { env = \"NAME\" }, { file = \"PATH\" } or a string";
        assert_eq!(
            told,
            [
                "accounts.Big: the name must be 1 to 64 of 0-9 a-z _ -".to_owned(),
                "accounts.Big.region: required".to_owned(),
                "accounts.Big.endpoints: required".to_owned(),
                format!("accounts.Big.cloud: {}", expected()),
                "accounts.a.region: must be a region such as ap-guangzhou".to_owned(),
                format!("accounts.a.secret_id: {secret}"),
                format!("accounts.a.secret_key: {secret}"),
                "accounts.a.token: the environment variable it names is not set".to_owned(),
                format!("accounts.a.endpoints.dcdb: {}", address::ENDPOINT),
                "accounts.a.endpoints.das: unknown key, expected one of dcdb, sts".to_owned(),
                "accounts.a.access_key: unknown key, expected one of cloud, region, secret_id, secret_key, token, \
                 keys, assume_role, site, allow_http, ca_file, endpoints, vendors"
                    .to_owned(),
            ]
        );
        let short = HUAWEI.replace("project_id = '", "project_id = '-");
        assert_eq!(problems(&short), ["accounts.h.project_id: must be 32 letters or digits"]);
    }
}
