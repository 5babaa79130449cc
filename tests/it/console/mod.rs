//! The console, in a real browser.

mod accessible;
mod below;
mod browser;
mod criteria;
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
mod places;
mod served;
mod shards;
mod stream;
