//! One file for each product that can end sessions: its calls, and what their answers mean.

mod alidas;
mod das;
mod dasrds;
mod dbbrain;
mod dcdb;
mod engine;
mod gaussdb;
mod killsession;
mod mariadb;
mod my;
mod mysql;
mod postgresql;
mod rds;
mod taurusdb;
mod tdsql;

use super::Vendor;

/// Every vendor there is.
pub static TABLE: &[&dyn Vendor] = &[
    &gaussdb::GaussDb,
    &das::Das,
    &dasrds::DasRds,
    &rds::Rds,
    &taurusdb::TaurusDb,
    &dcdb::DCDB,
    &tdsql::TDSQL,
    &dbbrain::DbBrain,
    &alidas::AliDas,
    &postgresql::PostgreSql,
    &mysql::MySql,
    &mariadb::MariaDb,
];
