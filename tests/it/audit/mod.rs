//! The record behaves alike on both engines.

mod batches;
pub(crate) mod book;
mod indexing;
mod keys;
mod leases;
mod months;
mod outage;
pub(crate) mod poison;
mod racing;
mod reading;
mod recording;
mod refusal;
mod round_trips;
mod views;
mod watches;

/// Makes a test on each engine of every scenario, each with a record of its own.
macro_rules! on_both_engines {
    ($($scenario:ident),+ $(,)?) => {
        mod on_postgres {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(&crate::audit::book::Book::on_postgres().await).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(&crate::audit::book::Book::on_sqlite().await).await;
            })+
        }
    };
}
pub(crate) use on_both_engines;
