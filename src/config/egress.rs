//! `[egress]`: how connections to others get out.

use super::section::Section;
use crate::upstream::transport::{Proxy, Spared};

const PROXY: &str = "must be an http URL such as http://proxy.example.com:3128, perhaps with user and password";
const SPARED: &str = "must be a list of hosts, .domains, addresses and networks, or *";

/// How connections to others get out: those that carry HTTP. Databases are reached directly.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// `proxy`, a secret since it may hold a password; where nothing is said, `HTTPS_PROXY` of the environment; `none` is none.
    pub proxy: Option<Proxy>,
    /// `no_proxy`: what is reached directly; where nothing is said, `NO_PROXY` of the environment. Loopback always is.
    pub spared: Vec<Spared>,
}

impl Egress {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let is_said = section.has("proxy") || section.has("no_proxy");
        let by_environment = |name: &str| section.variable(name).or_else(|| section.variable(&name.to_lowercase()));
        let (proxy, spared) = (by_environment("HTTPS_PROXY"), by_environment("NO_PROXY"));
        let own = section.secret("proxy").filter(|url| url.expose() != "none").and_then(|url| {
            let proxy = Proxy::parse(url.expose());
            if proxy.is_none() {
                section.problem("proxy", PROXY);
            }
            proxy
        });
        let own_spared = section.list_of("no_proxy", SPARED, Spared::parse).unwrap_or_default();
        if is_said {
            return Self { proxy: own, spared: own_spared };
        }
        let proxy = proxy.filter(|url| !url.is_empty()).and_then(|url| {
            let proxy = Proxy::parse(&url);
            if proxy.is_none() {
                section.problem("proxy", format!("{PROXY} (set by HTTPS_PROXY)"));
            }
            proxy
        });
        let spared = spared.unwrap_or_default();
        // What is meant for others is passed over.
        let spared = spared.split(',').map(str::trim).filter_map(Spared::parse).collect();
        Self { proxy, spared }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};

    #[test]
    fn the_environment_counts_where_nothing_is_said() {
        assert!(read("").egress.proxy.is_none());
        let env = [("https_proxy", "http://bot:canary@proxy:3128"), ("NO_PROXY", "localhost, .example.com,10.0.0.0/8")];
        let egress = read_with("", &env).unwrap().egress;
        assert_eq!(egress.proxy.as_ref().unwrap().address(), "proxy:3128");
        assert_eq!(egress.spared.len(), 3);
        assert!(!format!("{egress:?}").contains("canary"));
        let own = read_with("egress.proxy = 'http://other:8080'", &env).unwrap().egress;
        assert_eq!((own.proxy.unwrap().address(), own.spared.len()), ("other:8080".to_owned(), 0));
        assert!(read_with("egress.proxy = 'none'", &env).unwrap().egress.proxy.is_none());
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        for bad in ["canary", "https://canary:1", "http://", "http://canary:1/path", "socks5://canary:1"] {
            let told = problems(&format!("egress.proxy = '{bad}'"));
            assert_eq!(told, [format!("egress.proxy: {}", super::PROXY)]);
        }
        let told = problems("[egress]\nno_proxy = ['a b']\nproxies = 1");
        assert_eq!(
            told,
            [
                format!("egress.no_proxy: {}", super::SPARED),
                "egress.proxies: unknown key, expected one of proxy, no_proxy".to_owned()
            ]
        );
    }
}
