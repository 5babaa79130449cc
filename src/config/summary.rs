//! The configuration in a few lines, for the log at the start and for `killgate check`.

use super::{AtCloud, Config, Confirm, Egress, Issuer, KeySet, Keys, Place, Seal, Server, Source, Webhook};
use crate::{
    chain::hex,
    domain::{Access, Glob},
};

impl Config {
    /// One fact a line, and no secret in any of them.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let file = self.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
        let mut lines = vec![
            format!("file: {file}"),
            format!("listen: {}, {} workers, {}", self.server.listen, self.server.workers, self.server.describe_tls()),
            format!("egress: {}", self.egress.describe()),
            format!("audit: {}, migrate {}", self.audit.database.place(), self.audit.migrate),
            format!("seal: {}", self.seal.describe()),
            format!("access: {}", describe_access(&self.access)),
            format!("confirm: {}", self.confirm.describe()),
            format!("console: {}", self.console.describe()),
            format!("traces: {}", self.traces.describe()),
        ];
        match &self.auth {
            Some(auth) => {
                lines.extend(auth.issuers.iter().map(|issuer| format!("auth: {}", describe(issuer))));
                if !auth.certificates.is_empty() {
                    lines.push(format!("auth: {} certificates stand for tokens", auth.certificates.len()));
                }
            }
            None => lines.push("auth: not set".to_owned()),
        }
        for account in self.accounts.values() {
            lines.push(format!("account {}: {}", account.name, account.place.describe()));
        }
        for (alias, target) in &self.targets {
            lines.push(format!("target {alias}: {} of {}", target.vendor, target.account));
        }
        lines.extend(self.webhooks.iter().map(Webhook::describe));
        lines.push(format!("protect: {} rules beside those built in", self.protect.len()));
        lines.push(match self.returned.watch.as_secs() {
            0 => "returned: not looked for".to_owned(),
            seconds => format!("returned: looked for {seconds} s after a kill"),
        });
        lines
    }
}

fn describe_access(access: &Access) -> String {
    match (access.coordinates.len(), access.grants.len()) {
        (0, 0) => "aliases only".to_owned(),
        (callers, grants) => format!("aliases, and coordinates by {callers} patterns for callers and {grants} grants"),
    }
}

impl Place {
    fn describe(&self) -> String {
        match self {
            Self::Cloud(AtCloud { cloud, region, identity, endpoints, .. }) => {
                let endpoints: Vec<_> = endpoints.iter().map(|(name, url)| format!("{name} {url}")).collect();
                let with = identity.credentials.describe();
                format!("{} {region}, {with}, {}", cloud.name(), endpoints.join(", "))
            }
            Self::Servers { engine, settings } => {
                let nodes: Vec<_> = settings.nodes.iter().map(|(name, at)| format!("{name} {}", at.usual)).collect();
                format!("{engine} as {}, tls {:?}, {}", settings.username, settings.tls, nodes.join(", "))
            }
        }
    }
}

impl Server {
    fn describe_tls(&self) -> &'static str {
        match &self.tls {
            None => "without TLS",
            Some(tls) if tls.clients_required => "TLS, callers show a certificate",
            Some(_) => "TLS",
        }
    }
}

impl Egress {
    fn describe(&self) -> String {
        let Some(proxy) = &self.proxy else { return "direct".to_owned() };
        format!("through the proxy {}, {} places reached directly", proxy.address(), self.spared.len())
    }
}

impl Seal {
    fn describe(&self) -> String {
        let Some(key) = &self.key else { return "no key: nothing is sealed".to_owned() };
        let mut text = format!("public key {}", hex(&key.public()));
        if let Some(file) = &self.checkpoint_file {
            text = format!("{text}, checkpoints in {}", file.display());
        }
        // Its path may be a secret that the receiver gave out.
        if let Some(host) = self.checkpoint_url.as_ref().and_then(url::Url::host_str) {
            text = format!("{text}, checkpoints sent to {host}");
        }
        text
    }
}

impl Confirm {
    fn describe(&self) -> String {
        let whose = if self.secrets.is_empty() { "a secret of this process alone" } else { "a secret of all gateways" };
        let patterns = self.callers.len() + self.targets.len();
        let also = if self.intelligent { ", for intelligent" } else { "" };
        format!(
            "good for {} s by {whose}, for a match with more than {} sessions{also}, for {patterns} patterns",
            self.ttl.as_secs(),
            self.above
        )
    }
}

impl Webhook {
    fn describe(&self) -> String {
        let Self { name, format, url, callers, accounts, status, vendors, .. } = self;
        let patterns = |patterns: &Option<Vec<Glob>>| match patterns {
            None => "all".to_owned(),
            Some(patterns) => patterns.iter().map(Glob::as_str).collect::<Vec<_>>().join(" "),
        };
        // Its path may be a secret that the receiver gave out.
        let host = url.host_str().unwrap_or_default();
        let form = if format.is_chat() { format!(" as {}", format.as_str()) } else { String::new() };
        let mut text =
            format!("webhook {name}: {host}{form}, callers {}, accounts {}", patterns(callers), patterns(accounts));
        if let Some(vendors) = vendors {
            text = format!("{text}, vendors {}", vendors.join(" "));
        }
        if let Some(status) = status {
            text =
                format!("{text}, status {}", status.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(" "));
        }
        text
    }
}

fn describe(issuer: &Issuer) -> String {
    let keys = match &issuer.keys {
        Keys::Secrets(secrets) if secrets.len() > 1 => format!("{} shared secrets", secrets.len()),
        Keys::Secrets(_) => "a shared secret".to_owned(),
        Keys::Set(KeySet { source, .. }) if matches!(source, Source::Url(_)) => format!("the key set at {source:?}"),
        Keys::Set(KeySet { source, .. }) => format!("the key set that {source:?} leads to"),
    };
    let mut text = format!("issuer {}, audience {}, {keys}, {:?}", issuer.issuer, issuer.audience, issuer.algorithms);
    if !issuer.subject_prefix.is_empty() {
        text = format!("{text}, subjects begin with {:?}", issuer.subject_prefix);
    }
    match &issuer.roles {
        Some(roles) => format!("{text}, scopes by {} roles of {}", roles.len(), issuer.scopes_claim.join(" or ")),
        None => format!("{text}, scopes of {}", issuer.scopes_claim.join(" or ")),
    }
}
