//! `traceparent`, as W3C's Trace Context has it: how one program tells another where it stands in a trace.
//!
//! `tracestate` is not read: it is text of others, and would go on to others.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The header, in and out.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Where somebody stands who says so; `None` where it is not well formed. Of a version to come, what is known today counts.
pub(super) fn parse(value: &str) -> Option<SpanContext> {
    let mut parts = value.split('-');
    let mut part = |digits: usize| {
        let is_of_hex = |text: &&str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        parts.next().filter(|text| text.len() == digits).filter(is_of_hex)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// The same, to be told to others.
pub(super) fn written(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_is_well_formed_is_told_again_as_it_was() {
        for flags in ["00", "01"] {
            let value = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let context = parse(&value).unwrap();
            assert_eq!((context.is_sampled(), written(&context)), (flags == "01", value));
        }
        // A later version, with more behind it and with flags that nobody knows yet.
        let context = parse(&format!("cc-{TRACE}-00f067aa0ba902b7-03-more")).unwrap();
        assert_eq!(written(&context), format!("00-{TRACE}-00f067aa0ba902b7-01"));
    }

    #[test]
    fn what_is_not_well_formed_is_not_read() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
