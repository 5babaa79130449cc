//! Simulated vendor clouds: the peer of `killgate demo`, of `killgate sandbox` and of the tests.
//!
//! One server on one port speaks for every vendor; their paths do not collide. It is as strict as a suspicious
//! vendor, checks signatures with code of its own, remembers every call, and misbehaves on demand. It refuses to
//! be a database: sessions are rows in memory, and a kill removes them. The invariant: what is documented of a
//! vendor is done as documented, and where nothing is documented the harder of the possible answers is given.
//!
//! | room | what is in it |
//! |---|---|
//! | `clouds`, `session`, `credentials`, [`demo`], [`scenes`] | the world and the handle on it |
//! | `server`, `control` | the sockets, and `/_sandbox` for people |
//! | `handler`, `cloud` | the one way every call takes, and what each cloud does on it |
//! | `verify`, `limits`, `fields`, `temporary` | signatures, rates, parameters, and keys that end |
//! | `huawei`, `tencent`, `alibaba` | the clouds and their products |
//! | `behaviour`, `wire`, `log` | what can go wrong, and what happened |

mod action;
mod alibaba;
mod answer;
mod behaviour;
mod cloud;
mod clouds;
mod control;
mod credentials;
pub mod demo;
mod fields;
mod handler;
mod huawei;
mod limits;
mod log;
pub mod scenes;
mod server;
mod session;
mod state;
mod temporary;
mod tencent;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

pub use action::Action;
pub use behaviour::{Behaviour, Canned, DasBody, Lie};
pub use clouds::Clouds;
pub use credentials::{AlibabaCustomer, HuaweiCustomer, TencentCustomer};
pub use log::{Headers, Received, Verdict};
pub use server::Sandbox;
pub use session::{Place, Session};
pub use temporary::Metadata;
pub use wire::{Frame, Interim, Writing};
