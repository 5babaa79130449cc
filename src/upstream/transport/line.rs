//! One exchange's hold on a connection: the stream that the client writes to and reads from.
//!
//! It is also what is known of the exchange afterwards. The invariants: not a byte leaves after the moment by which it
//! had to begin, and the client reads nothing but one final answer.

use std::{
    cell::RefCell,
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    http::Method,
    rt::net::{ActixStream, Ready},
    web::BytesMut,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{connect::Connection, watch::Watch};

/// How much is read at once, in bytes.
const AT_ONCE: usize = 16 * 1024;

/// Clones are the same line.
#[derive(Clone)]
pub(super) struct Line(Rc<RefCell<State>>);

struct State {
    /// Gone once the exchange is over; a line without one is at its end.
    connection: Option<Connection>,
    begin_by: Option<Instant>,
    begun: bool,
    late: bool,
    watch: Watch,
    /// What the client has still to read.
    out: BytesMut,
    broken: Option<&'static str>,
}

/// What is known of an exchange once it is over.
pub(super) struct End {
    /// Where it may be used for another exchange.
    pub(super) connection: Option<Connection>,
    /// Whether bytes of the request may have left.
    pub(super) begun: bool,
    /// Whether none left because the time to begin was over.
    pub(super) late: bool,
    /// Why there is no whole answer; `None` where there is one.
    pub(super) lack: Option<&'static str>,
}

impl Line {
    pub(super) fn new(connection: Connection, method: &Method, begin_by: Option<Instant>) -> Self {
        Self(Rc::new(RefCell::new(State {
            connection: Some(connection),
            begin_by,
            begun: false,
            late: false,
            watch: Watch::new(method),
            out: BytesMut::new(),
            broken: None,
        })))
    }

    /// Takes the connection from the client, whatever it is about.
    pub(super) fn end(&self) -> End {
        let mut state = self.0.borrow_mut();
        state.out = BytesMut::new();
        let is_fit = !state.begun || (state.broken.is_none() && state.watch.keeps());
        let connection = state.connection.take().filter(|_| is_fit);
        let lack = (!state.watch.is_whole() || state.broken.is_some())
            .then(|| state.broken.unwrap_or_else(|| state.watch.lack()));
        End { connection, begun: state.begun, late: state.late, lack }
    }
}

impl State {
    /// Reads until there is something to hand on, or nothing more to come.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; AT_ONCE];
        while self.out.is_empty() && !self.watch.is_over() {
            let Some(connection) = &mut self.connection else { break };
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(connection).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                break;
            }
            if let Err(why) = self.watch.take(read.filled(), &mut self.out) {
                self.broken = Some(why);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The connection, for writing.
    fn open(&mut self) -> io::Result<Pin<&mut Connection>> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        self.connection.as_mut().map(Pin::new).ok_or_else(gone)
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        ready!(state.poll_fill(context))?;
        let many = state.out.len().min(to.remaining());
        to.put_slice(&state.out.split_to(many));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        if !state.begun && state.begin_by.is_some_and(|begin_by| begin_by < Instant::now()) {
            state.late = true;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        state.begun = true;
        state.open()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().open()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().open()?.poll_shutdown(context)
    }
}

impl ActixStream for Line {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::ALL))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::ALL))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}
