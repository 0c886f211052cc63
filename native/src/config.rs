//! `encaustic config`: the settings of the server, documented, or as they would be here.

use clap::Args;
use encaustic_server::config::{self, Config, ENTRIES};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::{serve, terminal};

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  encaustic config > encaustic.toml
      writes a file with every setting, its help and its default
  encaustic config --in-effect --config encaustic.toml
      checks such a file, and shows what a server would make of it";

/// `encaustic config`
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Show the settings that a server started here with these flags would have; what is secret is not shown
    #[arg(long, help_heading = "What to show")]
    pub in_effect: bool,

    /// The flags of `encaustic serve`.
    #[command(flatten)]
    pub server: serve::Args,
}

/// Prints the settings.
///
/// # Errors
/// If one is wrong.
pub fn run(options: &Options, json: bool) -> Result<(), Failure> {
    let settings = if options.in_effect { serve::settings(&options.server)? } else { Config::default() };
    if json {
        let all: Map<String, Value> = ENTRIES.iter().map(|entry| (entry.id.to_owned(), (entry.get)(&settings).into())).collect();
        return terminal::tell(json!({"settings": all}).to_string());
    }
    let text = if options.in_effect { config::in_effect(&settings) } else { config::documentation() };
    terminal::tell(text.trim_end())
}
