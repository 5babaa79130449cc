//! Figures as they come, and at the end how they stand to the targets.

use std::{fmt::Write as _, time::Duration};

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    what: String,
    seen: String,
    wanted: String,
    met: bool,
}

impl Report {
    /// A line of text, printed at once.
    #[expect(clippy::unused_self, reason = "it reads as part of the report, and is one")]
    pub(crate) fn text(&self, line: &str) {
        println!("{line}");
    }

    /// What the next figures are about.
    pub(crate) fn title(&self, line: &str) {
        self.text(&format!("\n{line}"));
    }

    /// One measured figure, printed at once.
    pub(crate) fn figure(&self, what: &str, figure: &str) {
        self.text(&format!("  {what:<58} {figure}"));
    }

    /// A figure with a target.
    pub(crate) fn target(&mut self, what: &str, seen: &str, wanted: &str, met: bool) {
        let word = if met { "met" } else { "MISSED" };
        self.figure(what, &format!("{seen}   (target: {wanted}: {word})"));
        self.targets.push(Target { what: what.to_owned(), seen: seen.to_owned(), wanted: wanted.to_owned(), met });
    }

    /// All targets, together.
    pub(crate) fn summary(&self) -> String {
        let mut text = "\nTargets".to_owned();
        for Target { what, seen, wanted, met } in &self.targets {
            let word = if *met { "met" } else { "MISSED" };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {word:<7} {what:<58} {seen:<12} target: {wanted}");
        }
        text
    }
}

/// The middle one of some figures; the lower of two.
pub(crate) fn median<T: PartialOrd + Copy>(figures: &[T]) -> Option<T> {
    share(figures, 0.5)
}

/// The figure below or at which that share of all lies.
pub(crate) fn share<T: PartialOrd + Copy>(figures: &[T], part: f64) -> Option<T> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among some thousand figures"
    )]
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// Milliseconds with two decimals.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
