//! Nobody changes the record unnoticed: done as its owner, with every trigger off.

mod binary;
mod blocks;
mod closed;
mod export;
mod open;
mod removal;
mod rows;
mod sealer;
mod sealing;

use std::time::Duration;

use killgate::{
    audit::{Filter, Sealing},
    chain::{
        Checkpoint, SealKey,
        check::{Report, Trusted, Wrong},
    },
    clock::Clock,
    domain::{Kill, KillId, Outcome},
    evidence,
};

use time::OffsetDateTime;

use crate::audit::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
};

/// How many kills a block has at most.
const MOST: u32 = 4;

/// A record of ten settled kills in three blocks, and the key they are sealed with.
struct Sealed<'b> {
    book: &'b Book,
    key: SealKey,
    kills: Vec<KillId>,
}

impl<'b> Sealed<'b> {
    async fn fill(book: &'b Book) -> Self {
        book.audit.begin_sealing().await.unwrap();
        let mut sealed = Self { book, key: SealKey::generate().unwrap(), kills: Vec::new() };
        for number in 0..10 {
            let kill = settled(book, number).await;
            sealed.kills.push(kill.id);
        }
        sealed.seal().await;
        assert!(book.audit.last_head().await.unwrap().unwrap().head.number >= 3);
        sealed
    }

    /// Seals what there is to seal.
    async fn seal(&self) {
        seal_with(self.book, &self.key).await;
    }

    async fn verify(&self) -> Report {
        self.verify_with(vec![]).await
    }

    async fn verify_with(&self, checkpoints: Vec<Checkpoint>) -> Report {
        evidence::verify(&self.book.audit, vec![Trusted::always(self.key.public())], checkpoints).await.unwrap()
    }

    /// The heads of all blocks, as somebody outside keeps them.
    async fn checkpoints(&self) -> Vec<Checkpoint> {
        self.book.audit.heads(0, 1000).await.unwrap()
    }

    /// Does as the owner of the database what no trigger would let pass.
    async fn tamper(&self, sql: &str) {
        free(self.book).await;
        let done = self.book.raw(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(done > 0, "{sql} changed nothing");
    }

    /// The id of a kill as SQL has it.
    fn id(&self, number: usize) -> String {
        literal(self.book, self.kills[number])
    }
}

pub(crate) fn literal(book: &Book, id: KillId) -> String {
    if book.is_postgres() { format!("'{id}'") } else { format!("x'{}'", id.simple()) }
}

/// Whoever seals waits a while for the index, which on a busy machine may be too short: it is asked for before.
async fn seal_with(book: &Book, key: &SealKey) {
    indexed(book).await;
    while let Sealing::Sealed { .. } = book.audit.seal(key, Clock::system().now(), MOST).await.unwrap() {}
}

async fn indexed(book: &Book) {
    while book.audit.index().await.unwrap() > 0 {}
}

/// A kill that was recorded, sent and done.
async fn settled(book: &Book, number: u64) -> Kill {
    settled_at(book, NOON + Duration::from_millis(number)).await
}

async fn settled_at(book: &Book, at: OffsetDateTime) -> Kill {
    let kill = book.begin(&attempt(at)).await;
    book.audit.mark_sent(kill.id, "here", at, at).await.unwrap();
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
    assert_eq!(book.audit.conclude(&done, at, "answered", None).await, Ok(true));
    done
}

/// Takes every trigger away.
pub(crate) async fn free(book: &Book) {
    if book.is_postgres() {
        let off = "DO $$ DECLARE it regclass; BEGIN
            FOR it IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace LOOP
                EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', it);
            END LOOP; END $$";
        book.raw(off).await.unwrap();
    } else {
        for name in book.texts("SELECT name FROM sqlite_master WHERE type = 'trigger'").await.into_iter().flatten() {
            book.raw(&format!("DROP TRIGGER {name}")).await.unwrap();
        }
    }
}

/// Asserts that these kinds are wrong and no others, and that the exit status says so.
fn assert_only(report: &Report, expected: &[Wrong]) {
    for wrong in Wrong::ALL {
        assert_eq!(report.count(wrong) > 0, expected.contains(&wrong), "{wrong:?}: {report}");
    }
    let status: u8 = expected.iter().map(|wrong| wrong.status()).sum();
    assert_eq!(report.status(), status, "{report}");
}

/// Asserts that what is wrong of that kind is told with these words.
pub(crate) fn assert_told(report: &Report, wrong: Wrong, words: &str) {
    assert!(report.told(wrong).iter().any(|told| told.contains(words)), "{words} in {report}");
}

/// Every kill there is.
async fn all(book: &Book) -> Vec<killgate::audit::Line> {
    book.audit.lines(&Filter::default(), 1000).await.unwrap().items
}
