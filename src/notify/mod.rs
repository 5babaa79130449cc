//! Telling others what becomes of kills: who follows one while it is open, and who is posted to once it is settled.

pub mod follow;
pub mod webhook;
