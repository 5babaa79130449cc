//! One connection to a server, whichever protocol it speaks.

use futures_util::{TryStreamExt, stream::BoxStream};
use serde_json::{Map, Value};
use sqlx::{Column, Database, Either, Row, error::DatabaseError};

use super::{mysql::MySql, postgres::Postgres};
use crate::upstream::StatementResult;

/// A connection that somebody is logged in on.
pub(super) enum Wire {
    Postgres(Postgres),
    MySql(MySql),
}

/// The answer to a statement was not read to its end: the connection must not be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Wire {
    /// Runs one message of statements: the last one's rows, or the first refusal.
    ///
    /// # Errors
    /// No answer came, or the server ended the connection.
    pub(super) async fn ask(&mut self, text: &str) -> Result<StatementResult, Broken> {
        match self {
            Self::Postgres(connection) => connection.ask(text).await,
            Self::MySql(connection) => connection.ask(text).await,
        }
    }

    /// Says goodbye: a server counts and logs those who just go.
    pub(super) async fn close(self) {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::MySql(connection) => connection.close().await,
        }
    }
}

/// Reads the answers to one message to their end: the last one's rows, or the first refusal. `code` is that of a refusal;
/// `None` where it ends the connection and is no answer.
///
/// # Errors
/// They do not come to their end.
pub(super) async fn last_answer<D, R>(
    mut answers: BoxStream<'_, sqlx::Result<Either<D, R>>>,
    row: impl Fn(&R) -> Value + Send,
    code: impl Fn(&dyn DatabaseError) -> Option<String> + Send,
) -> Result<StatementResult, Broken> {
    let (mut rows, mut last) = (vec![], vec![]);
    loop {
        match answers.try_next().await {
            Ok(Some(Either::Right(one))) => rows.push(row(&one)),
            Ok(Some(Either::Left(_))) => last = std::mem::take(&mut rows),
            Ok(None) => return Ok(StatementResult::Rows(last)),
            Err(sqlx::Error::Database(error)) => {
                let code = code(&*error).ok_or(Broken)?;
                return Ok(StatementResult::Refused { code, message: error.message().to_owned() });
            }
            Err(_) => return Err(Broken),
        }
    }
}

/// A statement of a script, or of this room: see [`Statement`](crate::upstream::Statement) for what is in it.
#[expect(
    clippy::disallowed_types,
    reason = "a script says which sessions are meant in the text alone: KILL takes no binds"
)]
pub(super) fn of_script(text: &str) -> sqlx::AssertSqlSafe<&str> {
    sqlx::AssertSqlSafe(text)
}

/// A row as an object. `bytes` gives those of one column; whatever they are in, they are read as UTF-8, and what is none
/// becomes the sign for that.
pub(super) fn object<R: Row>(row: &R, bytes: impl Fn(usize) -> Option<Vec<u8>>) -> Value {
    let column = |at: usize, column: &<R::Database as Database>::Column| {
        let text = bytes(at).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (column.name().to_owned(), text.map_or(Value::Null, Value::String))
    };
    let columns = row.columns().iter().enumerate();
    Value::Object(columns.map(|(at, of)| column(at, of)).collect::<Map<_, _>>())
}
