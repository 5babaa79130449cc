//! What one vendor, or one of its sites, does differently from the others.

mod alidas;
mod beyond;
mod dasrds;
mod dbbrain;
mod each;
mod intelligent;
mod node;
mod pages;
mod rds;
mod refusals;
mod site;

use crate::{
    safety::recorded_as,
    support::gateway::{Engine, Gateway, Setup, on_both_engines},
};
