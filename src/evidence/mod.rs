//! Sealing the record while it is written, and verifying it afterwards.
//!
//! What blocks and checkpoints are, and what is wrong with them, [`crate::chain`] says; here is what moves: the task
//! that seals, the tasks that carry checkpoints outside, and the two checks, of the record and of an export of it.

mod checkpoints;
mod delivered;
mod destination;
mod export;
mod sealer;
mod verify;

pub use checkpoints::read as read_checkpoints;
pub use delivered::{Delivered, Delivery};
pub use export::{WhichPart, verify as verify_export};
pub use sealer::{Sealer, SealingParts};
pub use verify::verify;
