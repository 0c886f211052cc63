//! Signatures of messages, in the form of Standard Webhooks: HMAC-SHA256 over id, moment and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::db::Db;
use crate::secrets::{self, SecretError};

/// What a secret begins with when it is written down.
const PREFIX: &str = "whsec_";
/// Bytes that a secret has at least.
const LEAST: usize = 16;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The setting is of no use.
    #[error(
        "webhook_secret: use `{PREFIX}` and at least {LEAST} random bytes in Base64 (`openssl rand -base64 32`), or leave it empty"
    )]
    Setting,
    /// There is no secret of our own.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Signs messages.
#[derive(Clone)]
pub struct Signer {
    secret: Vec<u8>,
}

impl Signer {
    /// A signer with the secret of the settings or, if there is none, one that is made once and kept.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn new(setting: Option<&str>, db: &Db) -> Result<Self, SignerError> {
        let Some(text) = setting else { return Ok(Self { secret: secrets::secret(db, "webhooks")? }) };
        let secret = STANDARD.decode(text.trim().trim_start_matches(PREFIX)).map_err(|_| SignerError::Setting)?;
        if secret.len() < LEAST { Err(SignerError::Setting) } else { Ok(Self { secret }) }
    }

    /// The secret as receivers write it down.
    pub fn secret(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.secret))
    }

    /// The signature of a message that is sent at `seconds` since 1970.
    pub fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return String::new() };
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn a_signature_is_what_the_standard_says() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signer = Signer { secret };
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(signer.secret(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }
}
