//! The command line: every command and option, and the words that `--help` shows for them.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  encaustic png-info lighthouse.png

`encaustic COMMAND --help` tells more about a command.";

/// Images from text with diffusion models, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "encaustic", version, after_help = EXAMPLES, styles = STYLES, max_term_width = 110)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Print one JSON object as the last line of the standard output, for programs
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,

    /// Tell more on the standard error: -v what is done, -vv how
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 901)]
    pub verbose: u8,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell with what settings a PNG picture was made
    PngInfo(PngInfo),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  encaustic completions bash > ~/.local/share/bash-completion/completions/encaustic")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// `encaustic png-info`
#[derive(Debug, Args)]
pub struct PngInfo {
    /// The picture
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}
