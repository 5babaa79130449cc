//! The words of the trade, parsed once and valid ever after.
//!
//! Nothing here knows HTTP, SQL or a vendor. A value of these types has been checked: a [`Target`] has every
//! coordinate its vendor asks for, an [`Order`] names sessions in a way its vendor accepts.

mod access;
mod busiest;
mod glob;
mod identity;
mod kill;
mod live;
mod masking;
mod matching;
mod network;
mod outcome;
mod places;
mod problem;
mod queues;
mod selector;
mod sent;
mod target;
mod text;
mod unlisted;
mod written;

pub use access::{Access, Grant};
pub use busiest::{LEAST_SECONDS, busiest};
pub use glob::Glob;
pub use identity::Identity;
pub use kill::{Blind, Found, Kill, KillId, LOOKED_AFTER, Look, Status, Upstream};
pub use live::{Likeness, LiveSession, Protection};
pub use masking::{cut, masked};
pub use matching::{AnyOf, Criteria, Match, Ranking};
pub use network::Network;
pub use outcome::{Outcome, Session};
pub use places::{ALL, Division, MAX_PLACES, Places, shard_or_node, split_id};
pub use problem::{FieldError, Problem, ProblemCode};
pub use queues::Queues;
pub use selector::{Selector, SessionId};
pub use sent::Sent;
pub use target::{Coordinates, End, Order, Target, VendorName};
pub use text::{TextError, has_unseen, is_unseen, legible, plain_text};
pub use unlisted::Unlisted;
