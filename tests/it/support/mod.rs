//! What tests stand on.

pub(crate) mod collector;
pub(crate) mod configuration;
pub(crate) mod dice;
pub(crate) mod gateway;
pub(crate) mod lateness;
pub(crate) mod my;
pub(crate) mod patience;
pub(crate) mod postgres;
pub(crate) mod receiver;
pub(crate) mod servers;
pub(crate) mod watchdog;
pub(crate) mod way;
