//! Webhooks: whoever wanted to be told hears when a job has ended.
//!
//! A message is entered into the database in the transaction that ends its job ([`enqueue`]), so none is lost, and sent by
//! [`send::run`] until it is taken or was tried often enough. It is signed as Standard Webhooks has it ([`Signer`]). Its target
//! comes from a client, so it is judged twice ([`target`]): the URL when the job is submitted, the address when the connection
//! is made.

mod outbox;
pub mod send;
mod sign;
pub mod target;

use crate::config::Config;
use crate::db::Db;

pub use outbox::{Delivery, DeliveryState, deliveries, enqueue, send_again, waiting};
pub use sign::{Signer, SignerError};

/// What the server's parts share of it.
pub struct Webhooks {
    /// Signs the messages.
    pub signer: Signer,
    /// Wakes the sender where no event of a job does.
    pub bell: tokio::sync::Notify,
}

impl Webhooks {
    /// With the secret of the settings, or one that is kept in the database.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn new(config: &Config, db: &Db) -> Result<Self, SignerError> {
        let signer = Signer::new(config.webhook_secret.as_deref(), db)?;
        Ok(Self { signer, bell: tokio::sync::Notify::new() })
    }
}
