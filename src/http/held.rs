//! The body of an answer that holds a seat until it was taken, and is given up when nobody takes it.
//!
//! It is handed out in pieces, so that what a client has not taken stays here, where it is dropped in time, and not in the
//! server's buffer for as long as the connection stands.

use std::{
    cell::RefCell,
    error::Error as StdError,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    rt::{self, task::JoinHandle},
    web::Bytes,
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::reader_seats::ReaderSeat;
use crate::domain::{Problem, ProblemCode};

/// How long a client may take for a piece.
const UNREAD: Duration = Duration::from_mins(1);
/// The size of a piece.
const PIECE: usize = 32 * 1024;

/// A body and its seat.
pub(super) struct Held {
    size: BodySize,
    state: Rc<RefCell<State>>,
    watch: JoinHandle<()>,
}

struct State {
    /// `None` once it was given up.
    body: Option<(BoxBody, ReaderSeat)>,
    /// What is left of a part of the body that is larger than a piece.
    rest: Bytes,
    /// Since when a piece has been with the client.
    handed: Option<Instant>,
}

impl Held {
    pub(super) fn new(body: BoxBody, seat: ReaderSeat) -> Self {
        let size = body.size();
        let state =
            Rc::new(RefCell::new(State { body: Some((body, seat)), rest: Bytes::new(), handed: Some(Instant::now()) }));
        let watch = rt::spawn(watch(Rc::clone(&state)));
        Self { size, state, watch }
    }

    /// Of an answer that is there as a whole.
    ///
    /// # Errors
    /// `internal` where it cannot be written as JSON.
    pub(super) fn json(answer: &impl Serialize, seat: ReaderSeat) -> Result<Self, Problem> {
        let bytes = serde_json::to_vec(answer);
        let bytes = bytes.map_err(|_| Problem::new(ProblemCode::Internal, "the answer could not be written"))?;
        Ok(Self::new(BoxBody::new(bytes), seat))
    }
}

/// Drops the body, and its seat, when a piece was not taken in time.
async fn watch(state: Rc<RefCell<State>>) {
    loop {
        let handed = state.borrow().handed;
        sleep_until(handed.unwrap_or_else(Instant::now) + UNREAD).await;
        let mut state = state.borrow_mut();
        if handed.is_some() && state.handed == handed {
            (state.body, state.rest) = (None, Bytes::new());
            return;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl MessageBody for Held {
    type Error = Box<dyn StdError>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let state = &mut *self.state.borrow_mut();
        state.handed = None;
        let Some((body, _)) = &mut state.body else {
            // An error in the middle of a body closes the connection.
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        };
        if state.rest.is_empty() {
            match ready!(Pin::new(body).poll_next(cx)) {
                Some(Ok(part)) => state.rest = part,
                end => return Poll::Ready(end),
            }
        }
        state.handed = Some(Instant::now());
        let size = state.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(state.rest.split_to(size))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        task::LocalSet,
        time::{advance, pause},
    };

    use super::*;
    use crate::http::reader_seats::ReaderSeats;

    async fn next(body: &mut Held) -> Option<Result<Bytes, Box<dyn StdError>>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await
    }

    fn on_a_clock_that_stands(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            pause();
            test.await;
        });
    }

    #[test]
    fn a_body_is_whole_for_whoever_takes_a_piece_now_and_then() {
        on_a_clock_that_stands(async {
            let sent: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 7).collect();
            let mut body = Held::new(BoxBody::new(sent.clone()), ReaderSeats::new(1, 1).take("a").await.unwrap());
            assert_eq!(body.size(), BodySize::Sized(sent.len() as u64));
            let mut taken = vec![];
            while let Some(piece) = next(&mut body).await {
                taken.extend(piece.unwrap());
                advance(UNREAD.saturating_sub(Duration::from_secs(1))).await;
            }
            assert_eq!(taken, sent);
        });
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_its_seat_is_anothers() {
        on_a_clock_that_stands(async {
            let seats = ReaderSeats::new(1, 1);
            let mut body = Held::new(BoxBody::new(vec![0; 2 * PIECE]), seats.take("a").await.unwrap());
            next(&mut body).await.unwrap().unwrap();
            advance(UNREAD).await;
            seats.take("b").await.unwrap();
            assert!(next(&mut body).await.unwrap().is_err());
        });
    }
}
