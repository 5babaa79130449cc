//! Each vendor's rate limit, kept for the whole fleet.

mod adaptive;
pub mod budget;
pub mod limiter;
pub mod window;
