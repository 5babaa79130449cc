//! The configuration of test gateways.

use std::{collections::BTreeMap, fmt::Write as _};

use killgate::{
    config::{self, Config},
    sandbox::demo as world,
    upstream::TABLE,
};

use super::gateway::{AUDIENCE, ISSUER, JWT_SECRET, targets};

/// Lines of `[audit]` for the record at a URL. Its time is enough for a crowd on a machine that has other things to do.
pub(crate) fn record_at(url: &str) -> String {
    format!("database_url = \"{url}\"\ntimeout_ms = 60000")
}

/// Among the lines of a configuration: kills by ids go as the vendor's own call does, for tests that are about that call alone
/// and count what it takes.
pub(crate) const BLIND: &str = "\n# Kills by ids go blind.\n";

/// `more` with as much time as there can be at every vendor of which it does not say how much there is: tests that are
/// not about waiting do not end because a machine is slow.
fn unhurried(mut more: String) -> String {
    let is_blind = more.contains(BLIND);
    for vendor in TABLE {
        let head = format!("[vendors.{}]\n", vendor.name());
        if !more.contains(&head) {
            write!(more, "\n{head}").expect("a String");
        }
        let at = more.find(&head).expect("a section") + head.len();
        let section = more[at..].split('[').next().unwrap_or_default().to_owned();
        for time in ["max_wait_ms", "timeout_ms"] {
            if !section.contains(time) {
                more.insert_str(at, &format!("{time} = 60000\n"));
            }
        }
        if is_blind {
            more.insert_str(at, "look = \"off\"\n");
        }
    }
    more
}

/// The usual configuration: an alias for every vendor, both clouds at `clouds`, limits that do not slow tests, and time
/// enough at every vendor.
pub(crate) fn configuration_text(audit: &str, clouds: &str, more: &str) -> String {
    let mut text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        shutdown_grace_ms = 10000
        [audit]
        {audit}
        "#
    );
    let auth = format!("[auth]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nhs256_secret = \"{JWT_SECRET}\"\n");
    let huawei = format!(
        r#"
        [accounts.huawei-test]
        cloud = "huawei"
        region = "{}"
        project_id = "{}"
        access_key = "{}"
        secret_key = "{}"
        endpoints = {{ gaussdb = "{clouds}", das = "{clouds}", taurusdb = "{clouds}" }}
        vendors.gaussdb.requests_per_second = 1000
        vendors.gaussdb.requests_per_minute = 0
        vendors.das.requests_per_second = 1000
        vendors.taurusdb.requests_per_second = 1000
        vendors.taurusdb.requests_per_minute = 0
        "#,
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
    );
    let tencent = format!(
        r#"
        [accounts.tencent-test]
        cloud = "tencent"
        region = "{}"
        secret_id = "{}"
        secret_key = "{}"
        endpoints.dcdb = "{clouds}"
        "#,
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    );
    // Most tests are one busy caller.
    let callers = "\n[callers]\nkills_per_second = 100000\nburst = 100000\n\
                   lists_per_second = 100000\nlists_burst = 100000\n"
        .to_owned();
    // And most name places in full.
    let access = "\n[access]\ncoordinates = [\"*\"]\n".to_owned();
    for part in [auth, huawei, tencent, callers, access] {
        // A section of the same name in `more` stands instead of the usual one.
        let name = part.split(['[', ']']).nth(1).expect("a section").to_owned();
        if !more.contains(&format!("[{name}]")) {
            text.push_str(&part);
        }
    }
    for (alias, target) in targets() {
        let account = if target["vendor"] == "dcdb" { "tencent-test" } else { "huawei-test" };
        write!(text, "\n[targets.{alias}]\naccount = \"{account}\"\n").expect("a String");
        for (key, value) in target.as_object().expect("an object") {
            writeln!(text, "{key} = {value}").expect("a String");
        }
    }
    text.push_str(&unhurried(more.replace("{clouds}", clouds)));
    text
}

/// The same, read.
pub(crate) fn configuration(audit: &str, clouds: &str, more: &str) -> Config {
    config::parse(&configuration_text(audit, clouds, more), BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}
