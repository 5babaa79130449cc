//! `[accounts.NAME]` with an `engine`: a login at database servers, and where they are.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Account, Place, Vendors, accounts::NAME, section::Section};
use crate::upstream::{
    By, Protocol,
    account::server::{Address, Addresses, Expected, KillWith, Settings, Tls},
};

const ADDRESS: &str = "must be HOST:PORT, an IPv6 address in brackets";

/// The engine of an account, and how to reach its servers.
pub(super) fn read(section: &mut Section<'_>, vendors: &Vendors) -> Option<(String, Settings)> {
    section.require(&["username", "password", "nodes"]);
    let engines =
        || vendors.iter().filter_map(|(name, by)| if let By::Protocol(it) = by { Some((*name, *it)) } else { None });
    let names: Vec<_> = engines().map(|(name, _)| name).collect();
    let expected = format!("must be one of {}", names.join(", "));
    let engine = section.parsed("engine", &expected, |text| engines().find(|(name, _)| *name == text));
    let (username, password) = (section.text("username"), section.secret("password"));
    let database = section.text("database");
    let nodes = addresses(section, "nodes");
    let reserved = addresses(section, "reserved");
    for name in reserved.keys().filter(|name| !nodes.contains_key(*name)) {
        section.problem("reserved", format!("there is no nodes.{name}"));
    }
    let allow_plain = section.flag("allow_plain").unwrap_or(false);
    let tls = section.parsed("tls", "must be verify, verify-ca or off", |word| match word {
        "verify" => Some(Tls::Verify),
        "verify-ca" => Some(Tls::VerifyCa),
        "off" => Some(Tls::Off),
        _ => None,
    });
    let tls = tls.unwrap_or_default();
    if tls == Tls::Off && !allow_plain && !nodes.values().chain(reserved.values()).all(is_loopback) {
        section.problem("tls", "must not be off beyond loopback, unless allow_plain = true");
    }
    let authorities = section.authorities("ca_file");
    if tls == Tls::VerifyCa && authorities.is_none() && !section.has("ca_file") {
        section.problem("tls", "verify-ca needs ca_file: any certificate of the web would do");
    }
    let expected = section.table("expect", |section| Expected {
        system_identifier: section.text("system_identifier"),
        server_uuid: section.text("server_uuid"),
        writable: section.flag("writable"),
    });
    let kill_with = section.parsed("kill_with", "must be rds or azure", |word| match word {
        "rds" => Some(KillWith::Rds),
        "azure" => Some(KillWith::Azure),
        _ => None,
    });
    let kill_with = kill_with.unwrap_or_default();
    match (kill_with, engine) {
        (KillWith::Rds, Some((_, Protocol::Postgres)))
        | (KillWith::Azure, Some((_, Protocol::Postgres | Protocol::MariaDb))) => {
            section.problem("kill_with", "there is no such procedure for this engine");
        }
        _ => {}
    }
    let place = |(name, usual): (String, Address)| {
        let reserved = reserved.get(&name).cloned();
        (name, Addresses { usual, reserved })
    };
    let (engine, protocol) = engine?;
    let settings = Settings {
        protocol,
        username: username?,
        password: SecretString::from(password?.expose()),
        nodes: nodes.into_iter().map(place).collect(),
        database,
        tls,
        authorities,
        expected,
        kill_with,
    };
    Some((engine.to_owned(), settings)).filter(|(_, settings)| !settings.nodes.is_empty())
}

/// Addresses by node.
fn addresses(section: &mut Section<'_>, key: &'static str) -> BTreeMap<String, Address> {
    section.by_name(key, NAME, ADDRESS, |value| value.as_str().and_then(address))
}

fn address(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = if let Some(ip) = bracketed {
        ip.parse::<std::net::Ipv6Addr>().ok()?.to_string()
    } else {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let is_name = (1..=253).contains(&host.len()) && host.bytes().all(fine);
        is_name.then(|| host.to_ascii_lowercase())?
    };
    Some(Address { host, port })
}

fn is_loopback(address: &Address) -> bool {
    address.host == "localhost" || address.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The same address in one spelling, as far as that can be told without asking anybody.
fn plain(address: &Address) -> Address {
    let host = if is_loopback(address) { "localhost" } else { address.host.trim_end_matches('.') };
    Address { host: host.to_owned(), port: address.port }
}

/// Refuses two names for one address: rules and limits hold for a server whatever it is called, and are told apart by name.
pub(super) fn refuse_shared(root: &Section<'_>, accounts: &BTreeMap<String, Option<Account>>) {
    let mut known: BTreeMap<Address, String> = BTreeMap::new();
    for account in accounts.values().flatten() {
        let Place::Servers { settings, .. } = &account.place else { continue };
        for (name, Addresses { usual, reserved }) in &settings.nodes {
            let of = |kind| format!("accounts.{}.{kind}.{name}", account.name);
            for (key, address) in [(of("nodes"), Some(usual)), (of("reserved"), reserved.as_ref())] {
                let Some(address) = address.map(plain) else { continue };
                match known.get(&address) {
                    Some(first) => root.problem_at(&key, format!("is the address of {first}: a server has one name")),
                    None => drop(known.insert(address, key)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};
    use super::*;

    const ORDERS: &str = "[accounts.o]\nengine = 'postgresql'\nusername = 'killgate'\npassword = 'canary'\n\
                          nodes.primary = 'DB1.example.com:5432'\nnodes.replica = '[fd00::2]:5433'\n";

    fn servers(toml: &str) -> Settings {
        match read(toml).accounts.remove("o").unwrap().place {
            Place::Servers { engine, settings } if engine == "postgresql" => settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_account_at_servers_names_them_and_shows_no_password() {
        let settings = servers(&format!("{ORDERS}reserved.primary = 'db1.example.com:15432'\nexpect.writable = true"));
        let shown: Vec<_> = settings.nodes.iter().map(|(name, at)| format!("{name} {}", at.usual)).collect();
        assert_eq!(shown, ["primary db1.example.com:5432", "replica [fd00::2]:5433"]);
        assert_eq!(
            settings.nodes["primary"].reserved.as_ref().map(ToString::to_string).unwrap(),
            "db1.example.com:15432"
        );
        assert_eq!((settings.tls, settings.expected.writable), (Tls::Verify, Some(true)));
        assert!(!format!("{settings:?}").contains("canary"));
        assert!(!read(ORDERS).summary().concat().contains("canary"));
    }

    #[test]
    fn plain_text_goes_to_loopback_only_unless_the_operator_says_so() {
        let off = format!("{ORDERS}tls = 'off'\n");
        assert_eq!(problems(&off), ["accounts.o.tls: must not be off beyond loopback, unless allow_plain = true"]);
        assert_eq!(servers(&format!("{off}allow_plain = true")).tls, Tls::Off);
        let local = off.replace("DB1.example.com", "127.0.0.1").replace("fd00::2", "::1");
        assert_eq!(servers(&local).tls, Tls::Off);
    }

    #[test]
    fn a_providers_procedures_are_for_the_engines_that_have_them() {
        let with = |engine: &str, way: &str| {
            format!("{}kill_with = '{way}'\n", ORDERS.replace("'postgresql'", &format!("'{engine}'")))
        };
        for (engine, way) in [("mysql", "rds"), ("mysql", "azure"), ("mariadb", "rds")] {
            read(&with(engine, way));
        }
        let kill_with = |engine: &str, way: &str| problems(&with(engine, way));
        for (engine, way) in [("postgresql", "rds"), ("mariadb", "azure")] {
            let told = "accounts.o.kill_with: there is no such procedure for this engine";
            assert_eq!(kill_with(engine, way), [told], "{engine} {way}");
        }
        assert_eq!(kill_with("mysql", "sudo"), ["accounts.o.kill_with: must be rds or azure"]);
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[accounts.o]\nengine = 'oracle'\nusername = ''\nnodes.A = 'h:1'\nnodes.b = 'h'\n\
                    reserved.c = 'h:2'\ntls = 'maybe'\nca_file = '/nowhere'\nexpect.role = 'x'\nhost = 'h'";
        let told = problems(toml);
        for expected in [
            "accounts.o.password: required",
            "accounts.o.engine: must be one of postgresql",
            "accounts.o.username: must be a text of 1 to 255 characters",
            "accounts.o.nodes.A: the name must be 1 to 64 of 0-9 a-z _ -",
            "accounts.o.nodes.b: must be HOST:PORT",
            "accounts.o.reserved: there is no nodes.c",
            "accounts.o.tls: must be verify, verify-ca or off",
            "accounts.o.ca_file: cannot be read",
            "accounts.o.expect.role: unknown key",
            "accounts.o.host: unknown key",
        ] {
            assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}: {told:#?}");
        }
    }

    #[test]
    fn one_server_has_one_name() {
        let twice = format!("{ORDERS}{}", ORDERS.replace("accounts.o", "accounts.p").replace("primary", "main"));
        assert_eq!(
            problems(&twice),
            [
                "accounts.p.nodes.main: is the address of accounts.o.nodes.primary: a server has one name",
                "accounts.p.nodes.replica: is the address of accounts.o.nodes.replica: a server has one name",
            ]
        );
    }
}
