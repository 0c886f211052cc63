//! The command line: every command and option, and the words that `--help` shows for them.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::settings::{BenchSettings, Settings};
use crate::{key, models, rm, serve};

const EXAMPLES: &str = "\
Examples:
  encaustic
      serves the page at http://127.0.0.1:7801 and opens it in a browser
  encaustic generate \"a red circle above a blue square\"
  encaustic generate \"a lighthouse\" --model ~/models/sd15 --out lighthouse.png
  encaustic devices
  encaustic png-info lighthouse.png

`encaustic COMMAND --help` tells more about a command.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  encaustic generate \"a red circle above a blue square\"
      draws with the model in the box and saves 00001-SEED.png here
  encaustic generate \"a lighthouse\" --model ~/models/sd15 --sampler dpmpp-2m --schedule karras
      draws with a model folder in the layout of diffusers
  encaustic generate \"a lighthouse\" --model ~/models/sd15 --seed 7 --batch 4 --out pictures
      makes four pictures with the seeds 7 to 10; each is as if made alone
  encaustic generate - --json < prompt.txt
      reads the prompt from a file; the last line printed is one JSON object

What is left out comes from the model: its size, its scheduler's configuration and,
if there is one, the file `encaustic.json` in its folder.
Ctrl-C stops after the current step; a second one ends at once.
Exit status: 0 done, 1 failed, 2 wrong input, 130 stopped.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  encaustic import ~/Downloads/lighthouse.safetensors
      packs a checkpoint in f16; `--model lighthouse` finds it from now on
  encaustic import ~/models/sd15 --dtype q8 --name sd15-q8
      half the size; how much that changes is told at the end
  encaustic import hf:owner/name --out ~/site/models/name
      packs a model of the hub into a folder that a web page can serve";

const BENCH_EXAMPLES: &str = "\
Examples:
  encaustic bench --model ~/models/sd15 --steps 5 --device cpu --json
  encaustic bench --model ~/models/sdxl --width 1024 --height 1024 --dtype f16";

/// Images from text with diffusion models, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "encaustic", version, after_help = EXAMPLES, styles = STYLES, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Print one JSON object as the last line of the standard output, for programs
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,

    /// Also find models in this folder, which is only read: A1111's or ComfyUI's `models`, or any other; may be given several
    /// times [env: ENCAUSTIC_MODELS, a list as in PATH]
    #[arg(long, value_name = "DIR", global = true, display_order = 899, value_hint = ValueHint::DirPath)]
    pub models: Vec<PathBuf>,

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
    /// Serve the page, its interfaces for programs and a queue; without any command, too
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Args),
    /// Print the settings of the server with their help, or as they would be here
    #[command(after_help = crate::config::EXAMPLES)]
    Config(crate::config::Options),
    /// Make, list and revoke the API keys of the server
    #[command(after_help = key::EXAMPLES)]
    Key(key::Options),
    /// Make pictures from a prompt
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(Box<Generate>),
    /// List the devices that can compute here
    Devices,
    /// Tell what a model's folder or any file of weights holds: family, components, parameters, precision, hash
    Info(Info),
    /// Fetch a model from the hub, or a file of weights by its URL
    #[command(after_help = crate::pull::EXAMPLES)]
    Pull(crate::pull::Args),
    /// Pack a model for this program and for the browser: one folder with a manifest and shards, also quantised
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Box<Import>),
    /// Check that the files of models are what they were, byte for byte
    Verify(Verify),
    /// List the models, LoRAs, VAEs and the like that can be called by name
    #[command(after_help = models::EXAMPLES)]
    Models(models::Options),
    /// Remove a model from our own folder of models
    Rm(rm::Options),
    /// Tell with what settings a PNG picture was made
    PngInfo(PngInfo),
    /// List samplers and schedules with all their names
    Samplers,
    /// Measure speed and memory: load, text, seconds per UNet step, VAE
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  encaustic completions bash > ~/.local/share/bash-completion/completions/encaustic")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// `encaustic generate`
#[derive(Debug, Args)]
pub struct Generate {
    /// What picture.
    #[command(flatten)]
    pub settings: Settings,

    /// With what.
    #[command(flatten)]
    pub engine: Engine,

    /// Where the pictures go: a file ending in .png (replaced if it exists; a batch gets FILE-1.png and so on), or a
    /// folder, where each gets a new name NUMBER-SEED.png
    #[arg(long, value_name = "FILE|DIR", default_value = ".", value_hint = ValueHint::AnyPath, help_heading = "Output")]
    pub out: PathBuf,

    /// Also write the noise, the latents after each step, the last latents and the image as tensors
    #[arg(long, value_name = "FILE.safetensors", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub dump_latents: Option<PathBuf>,
}

/// With what to compute.
#[derive(Debug, Args)]
pub struct Engine {
    /// The model: a checkpoint in one `.safetensors` file, a folder in the layout of diffusers, a name that
    /// `encaustic models` lists, `hf:OWNER/NAME` on the hub, or `demo`, the one in the box
    #[arg(long, value_name = "PATH|NAME", value_hint = ValueHint::AnyPath, help_heading = "Model and machine")]
    pub model: Option<String>,

    /// From which files.
    #[command(flatten)]
    pub parts: Parts,

    /// Where to compute: `auto` for the best that answers, or a name that `encaustic devices` lists
    #[arg(long, value_name = "NAME", default_value = "auto", help_heading = "Model and machine")]
    pub device: String,

    /// The precision: `auto` is f16 on GPUs that have it and f32 elsewhere
    #[arg(long, value_name = "auto|f32|f16", default_value = "auto", help_heading = "Model and machine")]
    pub dtype: String,
}

/// Where parts of a model come from.
#[derive(Debug, Args)]
pub struct Parts {
    /// Another VAE: its file, a folder with config.json and weights, its name in the library, or `hf:OWNER/NAME`. Beside
    /// MODEL.safetensors, a file MODEL.vae.safetensors is used without asking
    #[arg(long, value_name = "PATH|NAME", value_hint = ValueHint::AnyPath, help_heading = "Model and machine")]
    pub vae: Option<PathBuf>,

    /// For a model in one file: a folder with configurations or tokenizers in the layout of diffusers, where its family's
    /// usual ones do not fit
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Model and machine")]
    pub config: Option<PathBuf>,

    /// For a model in one file: what its UNet predicts, where the file does not say and it is not what its family's
    /// usually do
    #[arg(long, value_name = "epsilon|v", help_heading = "Model and machine")]
    pub prediction: Option<String>,
}

/// `encaustic import`
#[derive(Debug, Args)]
pub struct Import {
    /// The model: a checkpoint in one `.safetensors` file, a folder in the layout of diffusers, another packed model,
    /// `hf:OWNER/NAME`, or a name in the library
    #[arg(value_name = "PATH|NAME", value_hint = ValueHint::AnyPath)]
    pub model: String,

    /// From which files.
    #[command(flatten)]
    pub parts: Parts,

    /// How numbers are written: f32, f16 or bf16; q8 (8.5 bits a weight) or q4 (4.5), where norms, biases and small
    /// layers stay f16
    #[arg(long, value_name = "TYPE", default_value = "f16", help_heading = "Packed model")]
    pub dtype: String,

    /// How the VAE's numbers are written; not quantised unless asked for here
    #[arg(long, value_name = "TYPE", help_heading = "Packed model")]
    pub vae_dtype: Option<String>,

    /// What it is called in the library; the source's name if nothing is said
    #[arg(long, value_name = "NAME", help_heading = "Packed model")]
    pub name: Option<String>,

    /// The folder that it becomes, somewhere else than in the library
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "name", help_heading = "Packed model")]
    pub out: Option<PathBuf>,

    /// Replace a packed model of that name
    #[arg(long, help_heading = "Packed model")]
    pub replace: bool,

    /// Run each network of the packed model and of its source on a fixed input, and tell how far they are apart. Needs
    /// memory for the largest network in f32
    #[arg(long, help_heading = "Packed model")]
    pub measure: bool,

    /// What its maker calls it, if the source does not say
    #[arg(long, value_name = "TEXT", help_heading = "Packed model")]
    pub title: Option<String>,

    /// Under which terms it is given, if the source does not say
    #[arg(long, value_name = "TEXT", help_heading = "Packed model")]
    pub license: Option<String>,
}

/// `encaustic verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// A packed model, a file of weights, or the name of either; all packed models of the library if nothing is said
    #[arg(value_name = "PATH|NAME", value_hint = ValueHint::AnyPath)]
    pub model: Option<String>,
}

/// `encaustic info`
#[derive(Debug, Args)]
pub struct Info {
    /// A `.safetensors` file of any kind, a folder in the layout of diffusers, a name that `encaustic models` lists,
    /// `hf:OWNER/NAME` in the hub's cache, or `demo`
    #[arg(value_hint = ValueHint::AnyPath)]
    pub model: String,
}

/// `encaustic png-info`
#[derive(Debug, Args)]
pub struct PngInfo {
    /// The picture
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `encaustic bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// How much work.
    #[command(flatten)]
    pub settings: BenchSettings,

    /// With what.
    #[command(flatten)]
    pub engine: Engine,
}
