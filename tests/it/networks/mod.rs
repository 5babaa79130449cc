//! Into an ordinary company: its certificates, its proxy, and configurations that change while the gateway runs.

mod authority;
mod certificates;
mod checking;
mod egress;
mod reloading;

use crate::support::gateway::on_one_engine;
