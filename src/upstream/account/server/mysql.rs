//! The protocol of MySQL and MariaDB.

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, MySqlConnection, Row,
    error::DatabaseError,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow, MySqlSslMode},
};

use super::{
    Address, Settings, Tls,
    login::Refusal,
    wire::{Broken, last_answer, object, of_script},
};
use crate::upstream::{Protocol, StatementResult};

/// See the module.
pub(super) struct MySql(MySqlConnection);

impl MySql {
    /// Logs in at an address.
    ///
    /// # Errors
    /// What the server, or the way there, had against it.
    pub(super) async fn connect(settings: &Settings, address: &Address) -> Result<Self, Refusal> {
        let mut options = MySqlConnectOptions::new()
            .host(&address.host)
            .port(address.port)
            .username(&settings.username)
            .password(settings.password.expose_secret())
            .statement_cache_capacity(0)
            // Look-alikes refuse what is usually set behind the login.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .ssl_mode(match settings.tls {
                Tls::Verify => MySqlSslMode::VerifyIdentity,
                Tls::VerifyCa => MySqlSslMode::VerifyCa,
                Tls::Off => MySqlSslMode::Disabled,
            })
            .disable_statement_logging();
        if let Some(authorities) = &settings.authorities {
            options = options.ssl_ca_from_pem(authorities.clone());
        }
        if let Some(database) = &settings.database {
            options = options.database(database);
        }
        let mut connection = Self(options.connect().await.map_err(|error| refusal(&error))?);
        for setting in settings_of(settings.protocol) {
            // A setting that this version has not is none that could be in the way.
            let set = connection.ask(setting).await;
            set.map_err(|Broken| Refusal::unreached("the server ended the connection behind the login"))?;
        }
        Ok(connection)
    }

    /// See [`Wire::ask`](super::wire::Wire::ask).
    pub(super) async fn ask(&mut self, text: &str) -> Result<StatementResult, Broken> {
        let answers = sqlx::raw_sql(of_script(text)).fetch_many(&mut self.0);
        let bytes = |row: &MySqlRow, at| row.try_get_unchecked::<Option<Vec<u8>>, _>(at).ok().flatten();
        let code = |error: &dyn DatabaseError| {
            let code = error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number);
            (!ENDS_CONNECTION.contains(&code)).then(|| code.to_string())
        };
        last_answer(answers, |row: &MySqlRow| object(row, |at| bytes(row, at)), code).await
    }

    pub(super) async fn close(self) {
        // It goes anyway.
        let _ = self.0.close().await;
    }
}

/// Shutdown, killed by somebody else, idle too long, and what a server says of a connection that broke off: that is no answer
/// to a statement.
const ENDS_CONNECTION: [u16; 9] = [1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031];

/// What holds on the connection whatever was set for the account or for all: names and times mean what they should, no list
/// is cut, no transaction stays open, and nobody waits for a statement for ever. InnoDB tells times in the server's own zone.
/// And what the connection keeps for its statements: when the server started, in seconds of Unix time. `Uptime` counts to
/// the second in which a statement began, as `UNIX_TIMESTAMP()` does, and needs no right.
const fn settings_of(protocol: Protocol) -> &'static [&'static str] {
    const COMMON: &str = "SET NAMES utf8mb4; SET sql_mode = '', autocommit = 1, time_zone = 'SYSTEM', \
                          sql_select_limit = 18446744073709551615, lock_wait_timeout = 3";
    match protocol {
        Protocol::MySql => &[
            COMMON,
            "SET max_execution_time = 10000",
            "SET @started := CAST(UNIX_TIMESTAMP() - (SELECT VARIABLE_VALUE FROM performance_schema.global_status \
             WHERE VARIABLE_NAME = 'Uptime') AS SIGNED)",
        ],
        Protocol::MariaDb | Protocol::Postgres => &[
            COMMON,
            "SET max_statement_time = 10",
            "SET @started := CAST(UNIX_TIMESTAMP() - (SELECT VARIABLE_VALUE FROM information_schema.global_status \
             WHERE VARIABLE_NAME = 'UPTIME') AS SIGNED)",
        ],
    }
}

/// What the server says of itself. Not every MariaDB has a `server_uid`, and of later ones `read_only` is a word.
pub(super) const fn identity(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::MySql => {
            "SELECT NULL AS system_identifier, @@server_uuid AS server_uuid, @@read_only = 0 AS writable, \
             CONCAT(VERSION(), ' ', @@version_comment) AS behind"
        }
        Protocol::MariaDb | Protocol::Postgres => {
            "SELECT NULL AS system_identifier, (SELECT VARIABLE_VALUE FROM information_schema.global_variables \
             WHERE VARIABLE_NAME = 'SERVER_UID') AS server_uuid, @@read_only IN ('OFF', '0') AS writable, \
             CONCAT(VERSION(), ' ', @@version_comment) AS behind"
        }
    }
}

/// Why somebody could not log in. Numbers are those of the manuals' error references.
fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(told) = error else { return Refusal::of_way(error) };
    let number = told.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number);
    let code = number.to_string();
    match number {
        1040 | 1203 | 1226 => Refusal::full(&code),
        1053 => Refusal::busy(&code, "the server is stopping"),
        1044 | 1045 | 1049 | 1129 | 1130 | 1227 | 1251 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151 => {
            Refusal::denied(&code)
        }
        _ => Refusal::wrong(&code, "the server refused the login"),
    }
}
