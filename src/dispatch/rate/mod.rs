//! Each vendor's rate limit, kept for the whole fleet.

mod adaptive;
mod asks;
pub mod budget;
pub mod limiter;
pub(crate) mod rows;
pub mod window;
