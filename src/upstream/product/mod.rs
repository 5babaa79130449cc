//! One file for each product that can end sessions: its calls, and what their answers mean.

mod das;
mod dcdb;
mod engine;
mod gaussdb;
mod mariadb;
mod my;
mod mysql;
mod postgresql;
mod taurusdb;

use super::Vendor;

/// Every vendor there is.
pub static TABLE: &[&dyn Vendor] = &[
    &gaussdb::GaussDb,
    &das::Das,
    &taurusdb::TaurusDb,
    &dcdb::Dcdb,
    &postgresql::PostgreSql,
    &mysql::MySql,
    &mariadb::MariaDb,
];
