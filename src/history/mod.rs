//! Reading the record from outside: which kills are wanted, and all of them in one file.
//!
//! It refuses to change anything, and to end a file as if it were complete when it is not.

mod export;
mod wanted;

pub use export::{Export, Format, Manifest, Place, SealedRange};
pub use wanted::Wanted;
