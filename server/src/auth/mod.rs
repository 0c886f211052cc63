//! Who asks, and what they may do.
//!
//! Whoever sits at this machine may do everything, as long as nothing else is configured; everybody else has an API key
//! ([`keys`]), which allows what its scopes say, at a rate, up to a quota.

pub mod keys;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::Client;

pub use keys::{Key, KeyError, Keys, Known, NewKey, Wait};

/// What a key allows. Each holds only for itself: a key that generates and reads has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See jobs, pictures, models and devices.
    Read,
    /// Make pictures, and change what is one's own.
    Generate,
    /// Everything: other clients' jobs, models, settings and keys.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Generate, Self::Admin];

    /// Its name in JSON, in the database and on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Generate => "generate",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text.trim());
        found.ok_or_else(|| format!("{text:?} is no scope; use read, generate or admin"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whoever sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// By what name jobs know him.
    pub client: Client,
    /// What he may do.
    pub scopes: Vec<Scope>,
    /// The number of his key, if he has shown one.
    pub key: Option<i64>,
}

impl Caller {
    /// Whoever sits at this machine and needs no key.
    pub fn local() -> Self {
        Self { client: Client::local(), scopes: Scope::ALL.to_vec(), key: None }
    }

    /// Whether he may do something.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether he may change what belongs to a client.
    pub fn may_change(&self, owner: &Client) -> bool {
        self.may(Scope::Admin) || (self.may(Scope::Generate) && self.client == *owner)
    }
}
