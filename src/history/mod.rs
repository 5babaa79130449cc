//! Reading the record from outside: which kills are wanted, all of them in one file, and the index by which they are found.
//!
//! It refuses to change what is on record, and to end a file as if it were complete when it is not.

mod export;
mod indexer;
mod wanted;

pub use export::{Export, Form, Format, Manifest, Place, Rows, SealedRange};
pub use indexer::Indexer;
pub use wanted::Wanted;
