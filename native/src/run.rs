//! From the parsed command line to the command's own file.

use std::io::{self, IsTerminal};

use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::{
    bench, config, devices, generate, import, info, key, library, models, png_info, pull, rm, samplers, serve, terminal, verify,
};

/// Runs a command.
///
/// # Errors
/// What the command reports.
pub fn run(cli: Cli) -> Result<(), Failure> {
    library::places::add(cli.models)?;
    let command = cli.command.unwrap_or_else(|| Command::Serve(serve::Args::default()));
    // The server has settings for what it tells.
    if let Command::Serve(args) = &command {
        return serve::run(args, cli.verbose, cli.json);
    }
    trace(cli.verbose);
    match command {
        Command::Serve(args) => serve::run(&args, cli.verbose, cli.json),
        Command::Config(options) => config::run(&options, cli.json),
        Command::Key(args) => key::run(&args, cli.json),
        Command::Generate(args) => generate::run(&args, cli.json),
        Command::Bench(args) => bench::run(&args, cli.json),
        Command::Devices => devices::run(cli.json),
        Command::Samplers => samplers::run(cli.json),
        Command::Info(args) => info::run(&args.model, cli.json),
        Command::Pull(args) => pull::run(&args, cli.json),
        Command::Import(args) => import::run(&args, cli.json),
        Command::Verify(args) => verify::run(args.model.as_deref(), cli.json),
        Command::Models(args) => models::run(&args, cli.json),
        Command::Rm(args) => rm::run(&args, cli.json),
        Command::PngInfo(args) => png_info::run(&args.file, cli.json),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "encaustic", &mut script);
            terminal::tell(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

/// Sends what the code tells about its work to the standard error; `RUST_LOG` asks for it in detail.
fn trace(verbose: u8) {
    let level = match verbose {
        0 => "warn,burn=error,cubecl=error,wgpu=error,naga=error",
        1 => "info,burn=warn,cubecl=warn,wgpu=warn,naga=warn",
        2 => "debug,wgpu=info,naga=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
}
