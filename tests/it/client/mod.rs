//! The commands that are clients of a gateway: the program itself over real sockets, at a terminal where that matters.

mod kill;
pub(crate) mod kit;
mod login;
mod lost;
mod mcp;
mod reading;
