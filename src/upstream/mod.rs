//! How each vendor lists and ends sessions, as pure scripts.
//!
//! A vendor says what to send and what an answer means. It never sends, sleeps, signs, logs or reads a clock;
//! [`crate::dispatch`] runs it and an [`account`] carries its calls. A new vendor is one file in `product` and its line in
//! [`TABLE`]; a new cloud is one in [`cloud`] and its line there. The invariant: whatever bytes come back, [`Vendor::next`] and [`Vendor::page`] answer
//! without panicking, and what they cannot read for certain they call unknown.

mod call;
mod capabilities;
mod coordinates;
mod fault;
mod json;
mod listing;
mod places;
mod process;
mod product;
mod together;

pub mod account;
pub mod cloud;
pub mod credentials;
pub mod redact;
pub mod sign;
pub mod transport;

use std::fmt::Debug;

pub use call::{
    Again, Answer, Call, Content, Effect, HttpCall, HttpReply, Known, Payload, Reply, Stage, Statement,
    StatementResult, Statements, Step, When,
};
pub use capabilities::{
    By, Capabilities, Coordinate, Counting, IdRule, ListingKind, Need, Own, Protocol, SelectorKind, Site, Takes,
};
pub use cloud::Cloud;
pub use coordinates::{Complaint, coordinates, names_place};
pub use fault::{Fault, FaultKind, Replay};
pub use listing::{List, ListFilter, Listing, Next, Page};
pub use places::{is_of, may_be_same_place, may_name, naming};
pub use product::TABLE;
pub use together::OfPlace;

use crate::domain::{Order, SessionId, Target, VendorName};

/// Said of a session that a vendor's answer names neither as ended nor as anything else.
pub const NOT_REPORTED: &str = "not reported as killed";

/// How one vendor lists and ends database sessions. Pure: it says what to send and what an answer means.
pub trait Vendor: Debug + Send + Sync {
    /// The name callers, configuration and records use.
    fn name(&self) -> VendorName;

    /// What this vendor can do, as data.
    fn capabilities(&self) -> &'static Capabilities;

    /// The same at one of its cloud's sites, where it can do less than elsewhere.
    fn capabilities_at(&self, _: Site) -> &'static Capabilities {
        self.capabilities()
    }

    /// The first call of a kill.
    fn open(&self, order: &Order) -> Call;

    /// The read-only call that asks what became of a kill the vendor took, or whose answer was lost; `None`
    /// where this vendor cannot be asked with what is known.
    fn follow_up(&self, order: &Order, known: &Known) -> Option<Call>;

    /// What the reply to a call means: another call, or what is now known of the sessions.
    ///
    /// # Errors
    /// A [`Fault`] says why the call did not do its work, or that nobody can tell.
    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault>;

    /// The read-only call that lists live sessions from that row on, counted from 0; `None` where this vendor cannot
    /// list. The filter may narrow the list, and leaves out no session that fits it.
    fn list(&self, target: &Target, filter: &ListFilter, row: usize) -> Option<Call>;

    /// What the reply to the list call for that row says.
    ///
    /// # Errors
    /// A [`Fault`] says why there is no list.
    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault>;

    /// The read-only call that asks which sessions the database would pick now if it were left to it; `None` where the
    /// vendor cannot be asked.
    fn pick(&self, _: &Target) -> Option<Call> {
        None
    }

    /// The sessions that the reply to that call names; an id may come more than once.
    ///
    /// # Errors
    /// A [`Fault`] says why nobody can tell.
    fn picked(&self, reply: &Reply) -> Result<Vec<SessionId>, Fault> {
        Err(Fault::unreadable(reply))
    }
}

/// Whether it is the database itself that picks the sessions of an `intelligent` kill there; elsewhere the gateway chooses
/// them from a list.
#[must_use]
pub fn picks(target: &Target) -> bool {
    find(target.vendor.as_str()).is_none_or(|vendor| vendor.capabilities().picks())
}

/// Whether nobody's session can be ended there that was not looked at first.
#[must_use]
pub fn needs_look(target: &Target) -> bool {
    find(target.vendor.as_str()).is_some_and(|vendor| vendor.capabilities().takes == Takes::LikenessAlways)
}

/// The vendor of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Vendor> {
    TABLE.iter().copied().find(|vendor| vendor.name().as_str() == name)
}
