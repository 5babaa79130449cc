//! Whom connections to others believe, as the configuration says it: in general, and by section.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    config::{Config, Place},
    upstream::transport::{Egress, PublicRoots, Transport, Ways, system},
};

/// The ways that HTTP takes out.
///
/// # Errors
/// The key whose certificates cannot be believed.
pub(super) fn ways(config: &Config, transport: &Transport) -> anyhow::Result<Ways> {
    let tls = &config.tls;
    let egress = |own: Option<&[u8]>| {
        let all: Vec<&[u8]> = tls.authorities.as_deref().into_iter().chain(own).collect();
        let egress = Egress::new(tls.roots, &all)?;
        Ok::<_, String>(egress.through(config.egress.proxy.clone(), config.egress.spared.clone()))
    };
    let said = |key: &str, error: String| anyhow::anyhow!("{key}: {error}");
    let mut ways = Ways::new(transport.by(egress(None).map_err(|error| said("tls", error))?));
    let mut add = |key: &str, own: Option<&Vec<u8>>| -> anyhow::Result<()> {
        let Some(own) = own else { return Ok(()) };
        let egress = egress(Some(own)).map_err(|error| said(key, error))?;
        ways.add(own.clone(), transport.by(egress));
        Ok(())
    };
    for issuer in config.auth.iter().flat_map(|auth| &auth.issuers) {
        add("auth.ca_file", issuer.authorities.as_ref()).context(issuer.issuer.clone())?;
    }
    add("seal.ca_file", config.seal.authorities.as_ref())?;
    add("traces.ca_file", config.traces.authorities.as_ref())?;
    for webhook in &config.webhooks {
        add(&format!("webhooks.{}.ca_file", webhook.name), webhook.authorities.as_ref())?;
    }
    for account in config.accounts.values() {
        if let Place::Cloud(cloud) = &account.place {
            add(&format!("accounts.{}.ca_file", account.name), cloud.authorities.as_ref())?;
        }
    }
    Ok(ways)
}

/// The authorities that databases may have their certificates from, beside the web's, as PEM.
pub(super) fn of_databases(config: &Config, own: Option<&[u8]>) -> Vec<u8> {
    let mut all = [config.tls.authorities.as_deref(), own].into_iter().flatten().collect::<Vec<_>>().join(&b'\n');
    if config.tls.roots == PublicRoots::System {
        for certificate in system().into_iter().flatten() {
            let text = STANDARD.encode(certificate);
            all.extend(format!("\n-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes());
        }
    }
    all
}
