//! What is told of kills by spans, to a collector that is really there, away, slow or failing.

mod collectors;
mod kills;
mod lines;
mod parents;
mod stopping;
