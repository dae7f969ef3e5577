//! Connections: one that carries something live ends when its reader takes nothing of it.
//!
//! Whoever follows a video may stay for hours, and between two changes nothing is owed to him. A reader that fell asleep
//! is known by what the connection cannot get rid of: a write that makes no headway for as long as [`STALLED_AFTER`]
//! ends the connection, and with it everything that is kept for that reader. What waits for him until then is what
//! fits into the buffers on the way.
//!
//! Not here: downloads, which a player may leave unread for as long as it likes.

use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::serve::IncomingStream;
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

/// A reader of something live may take nothing for so long.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Accepts connections that can be told what they carry.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// One connection.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    live: Live,
    /// Runs while a write makes no headway.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Who is at the other end of a connection, as handlers see it.
#[derive(Debug, Clone)]
pub struct Peer {
    pub(crate) address: SocketAddr,
    live: Live,
}

/// How many live answers the connection carries. Where it is not one of ours, nobody asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live(Arc<AtomicUsize>);

/// A live answer, for as long as it is one.
#[derive(Debug)]
pub(crate) struct Carried(Live);

impl Listener {
    pub fn new(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        (Connection::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self {
            address: *stream.remote_addr(),
            live: stream.io().live.clone(),
        }
    }
}

impl Peer {
    /// A peer without a connection, for calls in process.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            live: Live::default(),
        }
    }
}

impl Live {
    /// Begins a live answer.
    pub(crate) fn carry(self) -> Carried {
        self.0.fetch_add(1, Ordering::Relaxed);
        Carried(self)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Sync> FromRequestParts<S> for Live {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        Ok(peer
            .map(|ConnectInfo(peer)| peer.live.clone())
            .unwrap_or_default())
    }
}

impl<S> Connection<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            live: Live::default(),
            stalled: None,
        }
    }

    /// What a write came to, or that it has come to nothing for too long.
    fn judged<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || self.live.0.load(Ordering::Relaxed) == 0 {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(STALLED_AFTER)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            ErrorKind::TimedOut,
            "the reader takes nothing",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judged(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judged(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::timeout;

    /// A connection over a pipe that holds four bytes, and its reader's end.
    fn pipe() -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(4);
        (Connection::new(ours), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_of_something_live_is_cut_off() {
        let (mut connection, _sleeper) = pipe();
        let _carried = connection.live.clone().carry();
        let telling = connection.write_all(b"more than four");
        let told = timeout(STALLED_AFTER * 2, telling).await.unwrap();
        assert_eq!(told.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_slow_is_not() {
        let (mut connection, mut reader) = pipe();
        let _carried = connection.live.clone().carry();
        let slowly = async {
            let mut byte = [0];
            for _ in 0..14 {
                tokio::time::sleep(STALLED_AFTER - Duration::from_secs(1)).await;
                reader.read_exact(&mut byte).await.unwrap();
            }
        };
        let (told, ()) = tokio::join!(connection.write_all(b"more than four"), slowly);
        told.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_waits_for_its_reader_as_long_as_that_likes() {
        let (mut connection, mut reader) = pipe();
        // It carried something live before.
        drop(connection.live.clone().carry());
        let mut told = Box::pin(connection.write_all(b"more than four"));
        assert!((&mut told).now_or_never().is_none());
        tokio::time::advance(STALLED_AFTER * 100).await;
        assert!((&mut told).now_or_never().is_none());
        let mut all = [0; 14];
        let (told, read) = tokio::join!(told, reader.read_exact(&mut all));
        told.unwrap();
        read.unwrap();
    }
}
