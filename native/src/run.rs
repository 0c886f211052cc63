//! From the parsed command line to the command's own file.

use std::io;

use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::png_info;

/// Runs a command.
///
/// # Errors
/// What the command reports.
pub fn run(cli: Cli) -> Result<(), Failure> {
    trace(cli.verbose);
    match cli.command {
        Command::PngInfo(args) => png_info::run(&args.file, cli.json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "encaustic", &mut io::stdout());
            Ok(())
        }
    }
}

/// Sends what the code tells about its work to the standard error; `RUST_LOG` asks for it in detail.
fn trace(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,burn=warn,cubecl=warn,wgpu=warn,naga=warn",
        2 => "debug,wgpu=info,naga=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
