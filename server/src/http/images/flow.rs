//! Files and archives on their way to a client: in pieces, with few of them in memory, and given up when nobody takes them.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of a piece.
const PIECE: usize = 128 << 10;
/// Pieces that wait for the client.
const WAITING: usize = 2;
/// How long a client may take for a piece.
const PATIENCE: Duration = Duration::from_secs(60);

type Piece = io::Result<Bytes>;

/// A part of a file as a body.
pub(super) fn file(file: File, from: u64, length: u64) -> Body {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if let Err(error) = send(file, from, length, &sender).await {
            // The client sees that it ends too early; if he has gone, nobody does.
            let _ = tokio::time::timeout(PATIENCE, sender.send(Err(error))).await;
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

async fn send(file: File, from: u64, length: u64, to: &mpsc::Sender<Piece>) -> io::Result<()> {
    let mut file = tokio::fs::File::from_std(file);
    if from > 0 {
        file.seek(SeekFrom::Start(from)).await?;
    }
    let mut left = length;
    while left > 0 {
        let mut piece = Vec::with_capacity(PIECE.min(usize::try_from(left).unwrap_or(PIECE)));
        let most = left.min(PIECE as u64);
        if (&mut file).take(most).read_to_end(&mut piece).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        left = left.saturating_sub(piece.len() as u64);
        match tokio::time::timeout(PATIENCE, to.send(Ok(piece.into()))).await {
            Ok(Ok(())) => {}
            // Gone, or asleep.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// What a thread writes, as a body.
pub(super) struct Pipe {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    piece: Vec<u8>,
}

impl Pipe {
    /// Both ends. The writing one is for a thread that may block.
    pub(super) fn new() -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let pipe = Self { sender, runtime: Handle::current(), piece: Vec::with_capacity(PIECE) };
        (pipe, Body::from_stream(ReceiverStream::new(receiver)))
    }

    /// Tells the client that it will not get the rest.
    pub(super) fn fail(&mut self, error: io::Error) {
        // If he has gone, nobody wants to know.
        let _ = self.push(Err(error));
    }

    fn push(&self, piece: Piece) -> io::Result<()> {
        let gone = |problem| io::Error::new(io::ErrorKind::BrokenPipe, problem);
        match self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.sender.send(piece)).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone("the client has gone")),
            Err(_) => Err(gone("the client takes nothing any more")),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
            self.push(Ok(piece.into()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() { Ok(()) } else { self.push(Ok(piece.into())) }
    }
}
