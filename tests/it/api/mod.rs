//! The gateway as its callers see it, over real sockets, on both engines.

mod auth;
mod credentials;
mod document;
mod history;
mod idempotency;
mod jwks;
mod kit;
mod operations;
mod preferences;
mod problems;
mod reference;
mod targets;
mod upstream;
mod validation;
mod visibility;

/// Makes a test on each engine of every scenario, each with a gateway of its own.
macro_rules! on_both_engines {
    ($($scenario:ident),+ $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::gateway::Engine::Postgres).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::gateway::Engine::Sqlite).await;
            })+
        }
    };
}
use on_both_engines;
