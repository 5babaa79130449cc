//! What ships beside the program holds for the program: metrics that are watched, manual pages.

mod manual;
mod metrics;
