//! Sweeping the store, now and then. It reads all its folders, which may take long, so it has a task of its own.

use std::time::Duration;

use super::rows;
use crate::App;

/// A start has more important things to do.
const FIRST: Duration = Duration::from_secs(60);
/// Little is left behind, and only by servers that were killed.
const AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// Sweeps until the app is stopped.
pub async fn run(app: App) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = app.until_stopped() => return,
            () = tokio::time::sleep(pause) => pause = AGAIN,
        }
        let sweeping = app.clone();
        match tokio::task::spawn_blocking(move || rows::sweep(&sweeping.db, &sweeping.images)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!("{count} files without a picture were removed"),
            Ok(Err(error)) => tracing::warn!("the pictures' folders could not be swept: {error}"),
            // It has said why it broke down; it is tried again.
            Err(_) => {}
        }
    }
}
