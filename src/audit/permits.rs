//! Permits that gateways on one record share: what is asked of a window, and what it gives.

use tokio::time::Instant;

use super::{Audit, AuditError, postgres};

/// What is asked of a window. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// 0 is the first to be served, 2 the last.
    pub class: u8,
    /// Most permits within the span of each class and those after it together, so the first of them is for all.
    /// None counts for less than 1.
    pub most: [u32; 3],
    /// How many permits would be of use at once; 0 counts for 1.
    pub many: u32,
    /// Longest wait; beyond it no permit is taken.
    pub patience: i64,
    pub span: i64,
    /// A limit over a longer span, which holds as well.
    pub longer: Option<Rate>,
}

/// Most permits within a span, as in [`Ask::most`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub most: [u32; 3],
    pub span: i64,
}

/// What a window gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// How many permits were taken, all for the same moment; 0 where they would come later than asked.
    pub taken: u32,
    /// Microseconds from now to the permits.
    pub wait: i64,
    /// Permits of all classes left within the span, the shorter one where there are two.
    pub left: u32,
}

/// What a shared window said of its time, and when it was asked and heard here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Microseconds of the budget's own time.
    pub at: i64,
    pub asked: Instant,
    pub heard: Instant,
}

impl Audit {
    /// Whether other gateways may be on the same record, and share its window of permits.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Takes permits from the window that all gateways on this database share, and tells when they were asked for; with
    /// what was heard of the same budget before, so that a step of the database's clock is noticed.
    ///
    /// # Errors
    /// Also where the record cannot be shared: then the window is the caller's own to keep.
    pub async fn take_permits(
        &self,
        budget: &str,
        ask: Ask,
        before: Option<Heard>,
    ) -> Result<(Heard, Slot), AuditError> {
        match self {
            Self::Postgres(engine) => {
                let budget = budget.to_owned();
                let take = engine.permits.run("take_permits", move |connection| {
                    Box::pin(async move { postgres::take_permits(connection, &budget, ask, before).await })
                });
                take.await
            }
            Self::Sqlite(_) => Err(AuditError::failed("take_permits", "the record is one gateway's own")),
        }
    }
}
