//! The console, in a real browser.

mod accessible;
mod below;
mod browser;
mod crowd;
mod cutter;
mod export;
mod fleet;
mod history;
mod hostile;
mod kit;
mod live;
mod login;
mod pictures;
mod served;
mod stream;
