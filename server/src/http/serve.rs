//! The listener: takes connections, as many as may be, and lets none of them hold the server up.
//!
//! Who does not send a whole head in time is let go, who does not take what he is sent as well; what a handler breaks down over is
//! told as 500.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use crate::App;

/// How long the head of a request may take to arrive, and a connection be idle.
const HEAD_TIME: Duration = Duration::from_secs(8);
/// How long the other side may take nothing of what it is sent.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// The most bytes of a request's head; up to twice as many are read at once.
const HEAD_BYTES: usize = 64 << 10;
/// The most headers of a request.
const HEADERS: usize = 100;
/// How long what is being answered may take when the server ends.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long to wait when the system gives no connection: it has too many, and some will end.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until the app is stopped.
pub(super) async fn serve(listener: TcpListener, router: Router, app: App) {
    let room = Arc::new(Semaphore::new(app.config.connections.max(1) as usize));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.until_stopped() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tracing::warn!("no connection could be taken: {error}");
                    sleep(BREATH).await;
                }
                continue;
            }
        };
        let (router, app) = (router.clone(), app.clone());
        connections.spawn(async move {
            let _place = place;
            converse(stream, router, &app).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let seats = app.config.connections.max(1);
    let all = async {
        while connections.join_next().await.is_some() {}
        // Those who follow by WebSockets are told that this is the end.
        let _ = app.seats.acquire_many(seats).await;
    };
    if timeout(GOODBYE + GOODBYE, all).await.is_err() {
        tracing::warn!("some connections did not come to an end and are cut off");
    }
}

/// One connection, from its beginning to its end.
async fn converse(stream: TcpStream, router: Router, app: &App) {
    // Events are small and wanted now. Without it they only come later.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Patient::new(stream, WRITE_TIME));
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = app.until_stopped() => {
            connection.as_mut().graceful_shutdown();
            match timeout(GOODBYE, connection.as_mut()).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// A stream that fails when nothing of what is written to it is taken for too long.
struct Patient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    fn watched<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing any more")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_let_go() {
        let (near, far) = tokio::io::duplex(16);
        let mut near = Patient::new(near, Duration::from_millis(20));
        near.write_all(&[0; 16]).await.unwrap();
        assert_eq!(near.write_all(&[0; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(far);
    }
}
