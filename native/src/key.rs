//! `encaustic key`: the API keys of the server, made, listed and revoked in its database, whether it runs or not.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueHint};
use encaustic_server::auth::{Key, KeyError, Keys, NewKey, Scope};
use encaustic_server::db::Db;
use encaustic_server::time;
use serde_json::json;

use crate::failure::{Failure, Refusal};
use crate::{serve, terminal};

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  encaustic key add laptop
      prints a new key that may read and generate; it is shown this once
  encaustic key add admin --scopes admin
      one that may do everything; a server for others wants one before it starts
  encaustic key revoke laptop
      it is not valid any more, also where the server runs";

/// `encaustic key`
#[derive(Debug, Args)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,

    /// The file of settings of the server
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Where the server keeps its data
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a key and print it
    Add {
        /// Its name, by which jobs know their client
        name: String,
        /// What it allows: `read`, `generate`, `admin`, with commas between them
        #[arg(long, value_delimiter = ',', default_value = "read,generate")]
        scopes: Vec<Scope>,
        /// How many requests a minute; 0 for any number [default: the server's setting]
        #[arg(long, value_name = "N")]
        per_minute: Option<u32>,
        /// How many pictures a day (UTC) [default: any number]
        #[arg(long, value_name = "N")]
        per_day: Option<u32>,
    },
    /// List the keys, without what is secret of them
    List,
    /// Revoke a key
    Revoke {
        /// Its name
        name: String,
    },
}

/// Makes, lists or revokes keys.
///
/// # Errors
/// If the database cannot be opened, or what is wanted makes no sense.
pub fn run(options: &Options, json: bool) -> Result<(), Failure> {
    let given = options.data.iter().map(|data| ("data", data.display().to_string())).collect();
    let config = serve::settings(&serve::Args { config: options.config.clone(), given })?;
    let data = serve::data_folder(&config)?;
    let failed = |what: &dyn std::fmt::Display| Failure::System(what.to_string());
    std::fs::create_dir_all(&data).map_err(|error| failed(&format!("{}: {error}", data.display())))?;
    let db = Db::open(&data.join("encaustic.db")).map_err(|error| failed(&error))?;
    let keys = Keys::new(Arc::new(db), time::system());
    match &options.action {
        Action::Add { name, scopes, per_minute, per_day } => {
            let new = NewKey { name: name.clone(), scopes: scopes.clone(), per_minute: *per_minute, per_day: *per_day };
            let (secret, key) = keys.add(&new).map_err(refused)?;
            if json {
                return terminal::tell(json!({"key": secret, "name": key.name, "scopes": key.scopes}));
            }
            terminal::say(format!("{} may {}; keep the key, it is not shown again:", key.name, names(&key)));
            terminal::tell(secret)
        }
        Action::List => {
            let keys = keys.list().map_err(|error| failed(&error))?;
            if json {
                return terminal::tell(json!({"keys": keys}));
            }
            if keys.is_empty() {
                terminal::say("there are no keys; `encaustic key add NAME` makes one");
            }
            for key in &keys {
                terminal::tell(format!("{}  {}…  {}{}", key.name, key.hint, names(key), limits(key)))?;
            }
            Ok(())
        }
        Action::Revoke { name } => {
            keys.revoke(name).map_err(refused)?;
            if json {
                return terminal::tell(json!({"revoked": name}));
            }
            terminal::say(format!("{name} is revoked"));
            Ok(())
        }
    }
}

fn names(key: &Key) -> String {
    key.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}

/// What a key has a limit of its own for; empty if for nothing.
fn limits(key: &Key) -> String {
    let limits = [
        key.per_minute
            .map(|most| if most == 0 { "any number of requests".to_owned() } else { format!("{most} requests a minute") }),
        key.per_day.map(|most| format!("{most} pictures a day")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    if limits.is_empty() { String::new() } else { format!("  {}", limits.join(", ")) }
}

fn refused(error: KeyError) -> Failure {
    let hint = match &error {
        KeyError::Unknown(_) => "`encaustic key list` shows all",
        KeyError::Taken(_) => "`encaustic key revoke NAME` makes room for it",
        KeyError::Random(_) | KeyError::Database(_) => return Failure::System(error.to_string()),
        KeyError::Name(_) | KeyError::Scopes => "",
    };
    Refusal::new("NAME", error.to_string()).hint(hint).into()
}
