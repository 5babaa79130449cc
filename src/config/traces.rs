//! `[traces]`: where spans go, and which.
//!
//! Where a key says nothing, the variable counts that OpenTelemetry has for it.

use percent_encoding::percent_decode_str;
use toml::Value;
use url::Url;

use super::{
    address,
    secret::Secret,
    section::{Naming, Section},
};
use crate::domain::plain_text;

const HEADER: &str = "must be the name of a header that is the collector's to read";
const HEADERS: &str = "must be NAME=VALUE pairs, separated by commas (set by OTEL_EXPORTER_OTLP_HEADERS)";
const SAMPLE: &str = "must be a number from 0 to 1";
const SAMPLERS: &str = "must be always_on, always_off or traceidratio, or one of these after parentbased_ \
     (set by OTEL_TRACES_SAMPLER)";
/// What the transport says itself.
const OURS: [&str; 6] =
    ["accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"];

/// Where spans go, and which of them.
#[derive(Debug, Clone)]
pub struct Traces {
    /// `endpoint`: the collector's address for spans, by OTLP over HTTP; without one there are no spans. An https URL; http is
    /// allowed to loopback, with `allow_http = true`, and where the environment says so. `/v1/traces` is there already.
    pub endpoint: Option<Url>,
    /// `headers`: what the collector wants to be sent beside them, by name.
    pub headers: Vec<(String, Secret)>,
    /// `sample`.
    pub sampling: Sampling,
    /// `service_name`: `killgate` by default.
    pub service_name: String,
    /// What else is told of this service, of `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(String, String)>,
    /// `ca_file`: certificates of authorities that the collector may have its own from, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
}

/// Which traces are collected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Of those that begin here: 0 to 1, all of them by default.
    pub ratio: f64,
    /// Whether of those that began elsewhere the caller says; else they are like the others.
    pub by_parent: bool,
}

impl Traces {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let allow_http = section.flag("allow_http").unwrap_or(false);
        let endpoint = endpoint(section, allow_http);
        let headers = section.headers("headers", Naming(HEADER.into(), is_header));
        // What is wrong there is nobody's concern where there are no spans.
        let is_on = endpoint.is_some();
        let headers = if section.has("headers") || !is_on { headers } else { headers_of_environment(section) };
        let resource = section.variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        // What is meant for others, or is not well formed, is passed over.
        let mut attributes: Vec<_> = pairs(&resource).flatten().filter(|(name, _)| !name.is_empty()).collect();
        let of_resource = attributes.iter().find(|(name, _)| name == "service.name").map(|(_, value)| value.clone());
        attributes.retain(|(name, _)| name != "service.name");
        let by_environment = section.variable("OTEL_SERVICE_NAME").or(of_resource).filter(|name| !name.is_empty());
        let service_name = section.text("service_name").or(by_environment);
        Self {
            endpoint,
            headers,
            sampling: sampling(section, is_on),
            service_name: service_name.unwrap_or_else(|| "killgate".to_owned()),
            attributes,
            authorities: section.authorities("ca_file"),
        }
    }

    /// Whether and where, in a few words.
    pub(super) fn describe(&self) -> String {
        let Some(endpoint) = &self.endpoint else { return "none".to_owned() };
        let Sampling { ratio, by_parent } = self.sampling;
        let whose = if by_parent { "that begin here" } else { "whoever began them" };
        format!("to {endpoint} as {}, {ratio} of those {whose}", self.service_name)
    }
}

/// Where spans go: what is said, or else what the environment says; `none` is nowhere.
fn endpoint(section: &mut Section<'_>, allow_http: bool) -> Option<Url> {
    let read = |text: &str, allow_http: bool| address::endpoint(text, allow_http).map(for_traces);
    if section.has("endpoint") {
        let parse = |text: &str| if text == "none" { Some(None) } else { read(text, allow_http).map(Some) };
        return section.parsed("endpoint", address::ENDPOINT, parse).flatten();
    }
    section.know(&["endpoint"]);
    let text = section.variable("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|text| !text.is_empty())?;
    // Collectors of a cluster are named so, in plain http, to every program: that must not keep one from starting.
    let url = read(&text, true);
    if url.is_none() {
        section.problem("endpoint", format!("{} (set by OTEL_EXPORTER_OTLP_ENDPOINT)", address::ENDPOINT));
    }
    url
}

/// Where a collector with that base takes traces.
fn for_traces(mut base: Url) -> Url {
    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
    base.set_path(&path);
    base
}

fn is_header(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_name) && !OURS.contains(&name.to_ascii_lowercase().as_str())
}

fn headers_of_environment(section: &Section<'_>) -> Vec<(String, Secret)> {
    let Some(text) = section.variable("OTEL_EXPORTER_OTLP_HEADERS") else { return vec![] };
    let is_good = |(name, value): &(String, String)| is_header(name) && plain_text(value, 4096).is_ok();
    let read: Option<Vec<_>> = pairs(&text).map(|pair| pair.filter(is_good)).collect();
    let Some(read) = read else {
        section.problem("headers", HEADERS);
        return vec![];
    };
    read.into_iter().map(|(name, value)| (name, Secret::from(value))).collect()
}

/// The pairs of a list as OpenTelemetry writes it in the environment: `a=b,c=d`, with %-encoded values.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        Some((name.trim().to_owned(), value))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair)
}

fn sampling(section: &mut Section<'_>, is_on: bool) -> Sampling {
    let is_ratio = |ratio: &f64| (0.0..=1.0).contains(ratio);
    let ratio = section.value_of("sample", SAMPLE, |value| match value {
        Value::Float(ratio) => Some(*ratio).filter(is_ratio),
        #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are taken")]
        Value::Integer(ratio) => Some(*ratio as f64).filter(is_ratio),
        Value::String(text) => text.trim().parse().ok().filter(is_ratio),
        _ => None,
    });
    if section.has("sample") {
        return Sampling { ratio: ratio.unwrap_or(1.0), by_parent: true };
    }
    let usual = Sampling { ratio: 1.0, by_parent: true };
    let Some(word) = section.variable("OTEL_TRACES_SAMPLER").filter(|word| is_on && !word.is_empty()) else {
        return usual;
    };
    let own = word.strip_prefix("parentbased_");
    let ratio = match own.unwrap_or(&word) {
        "always_on" => Some(1.0),
        "always_off" => Some(0.0),
        "traceidratio" => {
            let said = section.variable("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
            let ratio = if said.is_empty() { Some(1.0) } else { said.trim().parse().ok().filter(is_ratio) };
            if ratio.is_none() {
                section.problem("sample", format!("{SAMPLE} (set by OTEL_TRACES_SAMPLER_ARG)"));
                return usual;
            }
            ratio
        }
        _ => None,
    };
    if ratio.is_none() {
        section.problem("sample", SAMPLERS);
    }
    Sampling { ratio: ratio.unwrap_or(1.0), by_parent: own.is_some() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};
    use super::*;

    #[test]
    fn there_are_no_spans_unless_a_collector_is_named() {
        let traces = read("").traces;
        assert!(traces.endpoint.is_none() && traces.headers.is_empty() && traces.attributes.is_empty());
        assert_eq!(
            (traces.service_name.as_str(), traces.sampling),
            ("killgate", Sampling { ratio: 1.0, by_parent: true })
        );
    }

    #[test]
    fn where_spans_go_and_which_is_said() {
        let traces = read(
            "[traces]\nendpoint = 'https://collector.example.com:4318/otlp/'\nsample = 0.25\nservice_name = 'gate'\n\
             headers.authorization = 'Basic canary'",
        )
        .traces;
        assert_eq!(traces.endpoint.as_ref().unwrap().as_str(), "https://collector.example.com:4318/otlp/v1/traces");
        assert_eq!((traces.headers[0].0.as_str(), traces.headers[0].1.expose()), ("authorization", "Basic canary"));
        assert_eq!((traces.service_name.as_str(), traces.sampling.ratio), ("gate", 0.25));
        assert!(!format!("{traces:?} {}", traces.describe()).contains("canary"));
        assert_eq!(read("[traces]\nsample = 0").traces.sampling, Sampling { ratio: 0.0, by_parent: true });
    }

    #[test]
    fn the_environment_counts_where_nothing_is_said() {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=dba,authorization=Basic%20canary"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=prod,odd"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ];
        let traces = read_with("", &env).unwrap().traces;
        assert_eq!(traces.endpoint.as_ref().unwrap().as_str(), "http://collector:4318/v1/traces");
        assert_eq!(traces.headers[1].1.expose(), "Basic canary");
        assert_eq!(traces.service_name, "other");
        assert_eq!(traces.attributes, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
        assert_eq!(traces.sampling, Sampling { ratio: 0.5, by_parent: false });
        let named =
            [&env[..], &[("OTEL_SERVICE_NAME", "gate"), ("OTEL_TRACES_SAMPLER", "parentbased_always_off")]].concat();
        let traces = read_with("", &named).unwrap().traces;
        assert_eq!((traces.service_name.as_str(), traces.sampling), ("gate", Sampling { ratio: 0.0, by_parent: true }));
        let own = "[traces]\nendpoint = 'https://own'\nsample = 1\nservice_name = 'own'\nheaders.a = 'b'";
        let traces = read_with(own, &named).unwrap().traces;
        assert_eq!(traces.endpoint.as_ref().unwrap().as_str(), "https://own/v1/traces");
        assert_eq!((traces.headers.len(), traces.service_name.as_str()), (1, "own"));
        assert_eq!(traces.sampling, Sampling { ratio: 1.0, by_parent: true });
        assert!(read_with("traces.endpoint = 'none'", &env).unwrap().traces.endpoint.is_none());
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[traces]\nendpoint = 'http://collector:4318'\nsample = 1.5\nservice_name = ''\nheaders.host = 'canary'\n\
                    headers.a = 7\nheaders.b = \"canary\\r\\nx: y\"\nprotocol = 'grpc'";
        assert_eq!(
            problems(toml),
            [
                format!("traces.endpoint: {}", address::ENDPOINT),
                "traces.headers.a: must be { env = \"NAME\" }, { file = \"PATH\" } or a string".to_owned(),
                "traces.headers.b: must be a value that a header can have: one line of visible characters".to_owned(),
                format!("traces.headers.host: {HEADER}"),
                "traces.service_name: must be a text of 1 to 255 characters".to_owned(),
                format!("traces.sample: {SAMPLE}"),
                "traces.protocol: unknown key, expected one of allow_http, endpoint, headers, service_name, sample, ca_file"
                    .to_owned(),
            ]
        );
        let told = |env: &[(&str, &str)]| read_with("", env).unwrap_err().to_string();
        assert!(told(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "canary")]).contains("(set by OTEL_EXPORTER_OTLP_ENDPOINT)"));
        let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector");
        let headers = told(&[on, ("OTEL_EXPORTER_OTLP_HEADERS", "canary")]);
        assert!(headers.contains(HEADERS) && !headers.contains("canary"));
        assert!(told(&[on, ("OTEL_TRACES_SAMPLER", "xray")]).contains(SAMPLERS));
        assert!(
            told(&[on, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]).contains(SAMPLE)
        );
        assert!(read_with("", &[("OTEL_TRACES_SAMPLER", "xray")]).is_ok(), "nobody collects spans");
    }
}
