//! PostgreSQL's protocol.

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgConnection, Row, ValueRef,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgDatabaseError, PgRow, PgSeverity, PgSslMode},
};

use super::{
    Address, Settings, Tls,
    login::Refusal,
    wire::{Broken, last_answer, object, of_script},
};
use crate::upstream::StatementResult;

/// See the module.
pub(super) struct Postgres(PgConnection);

/// What holds on the connection whatever was set for the role: that times are told in UTC, that nobody waits for a
/// statement for ever, and that names mean what they should. A setting that a version has not is left out.
const SETTINGS: &str = "\
SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '10000'), ('lock_timeout', '3000'), \
('idle_session_timeout', '0'), ('search_path', 'pg_catalog'), ('datestyle', 'ISO'), ('timezone', 'UTC')) \
AS setting(name, value) WHERE current_setting(name, true) IS NOT NULL";

/// What the server says of itself.
pub(super) const IDENTITY: &str = "\
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier, NULL AS server_uuid, \
NOT pg_is_in_recovery() AS writable, NULL AS behind";

impl Postgres {
    /// Logs in at an address.
    ///
    /// # Errors
    /// What the server, or the way there, had against it.
    pub(super) async fn connect(settings: &Settings, address: &Address) -> Result<Self, Refusal> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .username(&settings.username)
            .password(settings.password.expose_secret())
            .database(settings.database.as_deref().unwrap_or("postgres"))
            .application_name("killgate")
            .statement_cache_capacity(0)
            // A server takes it; a pooler, behind which process ids are not those of a server, does not.
            .options([("statement_timeout", "10000"), ("search_path", "pg_catalog")])
            .ssl_mode(match settings.tls {
                Tls::Verify => PgSslMode::VerifyFull,
                Tls::VerifyCa => PgSslMode::VerifyCa,
                Tls::Off => PgSslMode::Disable,
            })
            .disable_statement_logging();
        if let Some(authorities) = &settings.authorities {
            options = options.ssl_root_cert_from_pem(authorities.clone());
        }
        let mut connection = Self(options.connect().await.map_err(|error| refusal(&error))?);
        let set = connection.ask(SETTINGS).await;
        set.map_err(|Broken| Refusal::unreached("the server ended the connection behind the login"))?;
        Ok(connection)
    }

    /// See [`Wire::ask`](super::wire::Wire::ask).
    pub(super) async fn ask(&mut self, text: &str) -> Result<StatementResult, Broken> {
        let answers = sqlx::raw_sql(of_script(text)).fetch_many(&mut self.0);
        let code = |error: &dyn DatabaseError| {
            // Whatever is worse than an error ends the connection with it.
            let of_postgres = error.try_downcast_ref::<PgDatabaseError>();
            of_postgres.filter(|error| error.severity() == PgSeverity::Error).map(|error| error.code().to_owned())
        };
        last_answer(answers, |row: &PgRow| object(row, |at| bytes(row, at)), code).await
    }

    pub(super) async fn close(self) {
        // It goes anyway.
        let _ = self.0.close().await;
    }
}

fn bytes(row: &PgRow, at: usize) -> Option<Vec<u8>> {
    let value = row.try_get_raw(at).ok().filter(|value| !value.is_null())?;
    value.as_bytes().ok().map(<[u8]>::to_vec)
}

/// Why somebody could not log in. Codes are the manual's appendix "PostgreSQL Error Codes".
fn refusal(error: &sqlx::Error) -> Refusal {
    let sqlx::Error::Database(told) = error else { return Refusal::of_way(error) };
    let code = told.code().unwrap_or_default();
    match code.as_ref() {
        "53300" => Refusal::full(&code),
        // Starting up, shutting down, recovering.
        "57P01" | "57P02" | "57P03" => Refusal::busy(&code, "the server is starting or stopping"),
        "28P01" | "28000" | "42501" | "3D000" | "55000" => Refusal::denied(&code),
        "08P01" if told.message().contains("startup parameter") => {
            let why = "a connection pooler is at this address, as PgBouncer is, whose process ids are not the server's: \
                       give the server's own address in the account's nodes.NAME";
            Refusal::wrong(&code, why)
        }
        _ => Refusal::wrong(&code, "the server refused the login"),
    }
}
