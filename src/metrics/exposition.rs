//! The two texts that scrapers read: OpenMetrics, and Prometheus' older one.

use std::{borrow::Cow, fmt::Write as _};

/// How a scrape is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    OpenMetrics,
    /// Prometheus' text format, version 0.0.4: what tools take that know no other.
    Prometheus,
}

impl Exposition {
    /// The one that a scraper takes, by its `Accept`: OpenMetrics is for those that name it.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_it = |accept: &str| {
            accept.split(',').any(|range| {
                let mut parts = range.split(';').map(str::trim);
                let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
                is_it && !parts.any(is_refused)
            })
        };
        if accept.is_some_and(names_it) { Self::OpenMetrics } else { Self::Prometheus }
    }

    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A scrape in OpenMetrics, in this format.
    #[must_use]
    pub(super) fn write(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::OpenMetrics => text.into(),
            Self::Prometheus => older(text).into(),
        }
    }
}

/// `q=0`, in any of the ways to write it.
fn is_refused(parameter: &str) -> bool {
    parameter.strip_prefix("q=").is_some_and(|quality| quality.parse::<f32>().is_ok_and(|quality| quality <= 0.0))
}

/// The older format of an OpenMetrics text. There a counter's family has the name of its samples, `…_total`, and no last line
/// tells the end.
fn older(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut older = String::with_capacity(text.len() + 64);
    for line in text.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let written = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) if counters.contains(&name) => {
                writeln!(older, "# {what} {name}_total {rest}")
            }
            _ => writeln!(older, "{line}"),
        };
        // Writing to a String does not fail.
        let _ = written;
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_text_names_a_counter_by_its_samples() {
        let text =
            "# HELP a_b Of b.\n# TYPE a_b counter\na_b_total{c=\"d\"} 1\n# HELP e Of e.\n# TYPE e gauge\ne 2\n# EOF\n";
        let expected = "# HELP a_b_total Of b.\n# TYPE a_b_total counter\na_b_total{c=\"d\"} 1\n# HELP e Of e.\n# TYPE e gauge\ne 2\n";
        assert_eq!(Exposition::Prometheus.write(text), expected);
        assert_eq!(Exposition::OpenMetrics.write(text), text);
    }

    #[test]
    fn open_metrics_is_for_scrapers_that_name_it() {
        for (accept, expected) in [
            (None, Exposition::Prometheus),
            (Some("*/*"), Exposition::Prometheus),
            (Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Exposition::Prometheus),
            (Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), Exposition::OpenMetrics),
            (Some("text/plain, Application/OpenMetrics-Text; q=0.1"), Exposition::OpenMetrics),
            (Some("application/openmetrics-text;q=0, text/plain"), Exposition::Prometheus),
            (Some("application/openmetrics-text; version=1.0.0; q=0.000"), Exposition::Prometheus),
        ] {
            assert_eq!(Exposition::accepted(accept), expected, "{accept:?}");
        }
    }
}
