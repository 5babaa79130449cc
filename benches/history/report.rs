//! Figures, and whether they are what was promised.

/// How long something took, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn add(&mut self, times: Vec<f64>) {
        self.0.extend(times);
        self.0.sort_by(f64::total_cmp);
    }

    fn part(&self, part: usize) -> f64 {
        self.0.get(self.0.len() * part / 100).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn p50(&self) -> f64 {
        self.part(50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.part(99)
    }

    pub(crate) fn told(&self) -> String {
        format!("{:.2} {:.2}", self.part(50), self.p99())
    }
}

/// How many times the other it is, and whether it may be.
pub(crate) fn ratio(it: f64, other: f64, most: f64) -> String {
    let ratio = it / other;
    format!("{ratio:.2} (of {most}) {}", met(ratio <= most))
}

pub(crate) fn met(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}
