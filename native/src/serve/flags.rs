//! The flags of `encaustic serve`: one for every setting of the server, with its help, from the server's own table.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, FromArgMatches, ValueHint};
use encaustic_server::config::{Config, ENTRIES, Entry};

/// `encaustic serve`
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// The file of settings.
    pub config: Option<PathBuf>,
    /// The settings that were given, by their ids.
    pub given: Vec<(&'static str, String)>,
}

const CONFIG: &str = "config";

fn option(entry: &Entry) -> Arg {
    let default = (entry.get)(&Config::default());
    let is_switch = ["true", "false"].contains(&default.as_str());
    let mut help = entry.help.split_whitespace().collect::<Vec<_>>().join(" ");
    if !default.is_empty() {
        help = format!("{} [default: {default}]", help.trim_end_matches('.'));
    }
    let flag = entry.flag();
    let option = Arg::new(entry.id).long(flag.trim_start_matches("--").to_owned()).value_name("VALUE").help(help);
    // Given twice, as by a script around this program, the last one counts.
    let option = option.help_heading(heading(entry.section)).overrides_with(entry.id);
    // `--open` alone means yes.
    if is_switch { option.num_args(0..=1).default_missing_value("true").value_name("true|false") } else { option }
}

fn heading(section: &'static str) -> String {
    let mut letters = section.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read settings from this file; `encaustic.toml` in the folder for configurations is read without asking");
        command.arg(file).args(ENTRIES.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |entry: &Entry| Some((entry.id, matches.get_one::<String>(entry.id)?.clone()));
        Ok(Self { config: matches.get_one(CONFIG).cloned(), given: ENTRIES.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
