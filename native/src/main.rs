//! `encaustic`: images from text. `encaustic --help` tells the rest.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use encaustic_launcher::cli::Cli;
use encaustic_launcher::{run, terminal};
use serde_json::json;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.json;
    match run::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::say(format_args!("error: {}", terminal::harmless(&failure.to_string())));
            if json {
                // If this fails as well, the status still tells.
                let _ = terminal::tell(failure.to_json());
            }
            ExitCode::from(failure.status())
        }
    }
}

/// Help and version, or an option that the parser refuses.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe behind us (`| head`) is no reason to complain.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if wants_json && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let message = error.render().to_string();
        let _ = terminal::tell(json!({"error": {"kind": "usage", "message": message.trim()}}));
    }
    ExitCode::from(2)
}
