//! One file for each product that can end sessions: its calls, and what their answers mean.

pub(in crate::upstream) mod das;
pub(in crate::upstream) mod dcdb;
pub(in crate::upstream) mod gaussdb;
pub(in crate::upstream) mod taurusdb;
