//! Generation settings as options: every entry of the protocol's table becomes one, with its help and its limits.
//!
//! Values are kept as text until the catalog of the engine is at hand, so that one place says what is wrong with them
//! and in the same words as every other interface.

use std::io::{self, Read};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use encaustic_protocol::param::Names;
use encaustic_protocol::{Catalog, Entry, PARAMS, Param, Range, Request, Value, validate};

use crate::failure::Refusal;

/// The setting that is given without a flag.
const POSITIONAL: &str = "prompt";

/// What `encaustic bench` may vary: all that changes the amount of work.
const BENCH: &[&str] = &["steps", "cfg", "width", "height", "batch"];

/// Sections of the help.
const PICTURE: &str = "Picture";
const SDXL: &str = "SDXL";

/// The settings of `encaustic generate`.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<(&'static Param, String)>);

/// The settings of `encaustic bench`.
#[derive(Clone, Debug, Default)]
pub struct BenchSettings(Vec<(&'static Param, String)>);

impl Settings {
    /// The request that they describe; a prompt `-` is read from the standard input.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub fn request(&self, catalog: &Catalog) -> Result<Request, Refusal> {
        let mut given = self.0.clone();
        for (param, text) in &mut given {
            if param.id == POSITIONAL && text == "-" {
                *text = from_stdin(param)?;
            }
        }
        request(&given, catalog)
    }
}

impl BenchSettings {
    /// The request that they describe.
    ///
    /// # Errors
    /// The first setting that is not allowed.
    pub fn request(&self, catalog: &Catalog) -> Result<Request, Refusal> {
        request(&self.0, catalog)
    }
}

fn request(given: &[(&'static Param, String)], catalog: &Catalog) -> Result<Request, Refusal> {
    let mut request = Request::default();
    for (param, text) in given {
        // What other programs write for "any seed".
        if param.id == "seed" && text.trim() == "-1" {
            continue;
        }
        let set = param.parse(text).and_then(|value| (param.set)(&mut request, value));
        if set.is_err() {
            // Of another kind (a word for a number): the check of the text against the limits finds the right words.
            let text = Value::Text(text.clone());
            let fault = encaustic_protocol::validate::check(param, &text, catalog);
            return Err(fault.map_or_else(|| Refusal::new(flag(param), "not understood"), Refusal::from));
        }
        if let (Range::Text { .. }, true) = (param.range, text.contains('\0')) {
            return Err(Refusal::new(flag(param), "contains a NUL character").hint("give plain text"));
        }
    }
    match validate(&request, catalog) {
        Ok(()) => Ok(request),
        Err(faults) => Err(faults.into_iter().next().map_or_else(|| Refusal::new("request", "not allowed"), Refusal::from)),
    }
}

/// Reads one byte more than is allowed, so that the limit's own message follows.
fn from_stdin(param: &Param) -> Result<String, Refusal> {
    let limit = match param.range {
        Range::Text { max_bytes } => max_bytes,
        _ => 0,
    };
    let mut bytes = Vec::new();
    let failed = |problem: String| Refusal::new(flag(param), format!("the standard input {problem}"));
    // A final line break comes on top of the text.
    io::stdin().take(limit as u64 + 3).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("is not UTF-8".to_owned()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The option of a setting, without dashes.
fn flag(param: &Param) -> String {
    param.id.replace('_', "-")
}

fn option(param: &'static Param) -> Arg {
    let catalog = encaustic_engine::catalog::catalog();
    let names: Option<Vec<Entry>> = match param.range {
        Range::Name(Names::Samplers) => Some(catalog.samplers),
        Range::Name(Names::Schedules) => Some(catalog.schedules),
        Range::Name(Names::Fixed(names)) => Some(names.iter().map(|name| Entry::new(name, name)).collect()),
        _ => None,
    };
    let (value, limits) = match param.range {
        Range::Text { .. } => ("TEXT", None),
        Range::Integer { min, max: u64::MAX, .. } => ("N", Some(format!("from {min}"))),
        Range::Integer { min, max, multiple_of: 1 } => ("N", Some(format!("{min} to {max}"))),
        Range::Integer { min, max, multiple_of } => ("N", Some(format!("{min} to {max} in steps of {multiple_of}"))),
        Range::Number { min, max } => ("X", Some(format!("{min} to {max}"))),
        Range::Name(_) => ("NAME", None),
    };
    let default = match (param.default)() {
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) if !text.is_empty() => Some(text),
        Value::Text(_) | Value::Auto => None,
    };
    let notes = [limits, default.map(|default| format!("default: {default}"))];
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    let mut help = param.help.trim_start_matches("SDXL: ").trim_end_matches('.').to_owned();
    if let Some(first) = help.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !notes.is_empty() {
        help += &format!(" [{}]", notes.join(", "));
    }
    let option = Arg::new(param.id).value_name(value).help(help).value_parser(Name(names.unwrap_or_default()));
    // Without this `-1` would be taken for an option.
    let option = option.allow_negative_numbers(value != "TEXT").hide_possible_values(true);
    if param.id == POSITIONAL {
        return option.required(true).value_name("PROMPT").help("What the picture shows; - reads it from the standard input");
    }
    let section = if param.help.starts_with(SDXL) { SDXL } else { PICTURE };
    option.long(flag(param)).help_heading(section).hide_short_help(section == SDXL)
}

/// Takes any text, and knows names for completion.
#[derive(Clone)]
struct Name(Vec<Entry>);

impl TypedValueParser for Name {
    type Value = String;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &std::ffi::OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        if self.0.is_empty() {
            return None;
        }
        Some(Box::new(self.0.iter().map(|entry| PossibleValue::new(entry.id.clone()).help(entry.label.clone()))))
    }
}

fn add(command: Command, wanted: impl Fn(&Param) -> bool) -> Command {
    command.args(PARAMS.iter().filter(|param| wanted(param)).map(option))
}

fn collect(matches: &ArgMatches) -> Vec<(&'static Param, String)> {
    let given = |param: &Param| matches.try_get_one::<String>(param.id).ok().flatten().cloned();
    PARAMS.iter().filter_map(|param| Some((param, given(param)?))).collect()
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        add(command, |_| true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(collect(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = collect(matches);
        Ok(())
    }
}

impl Args for BenchSettings {
    fn augment_args(command: Command) -> Command {
        add(command, |param| BENCH.contains(&param.id))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BenchSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(collect(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = collect(matches);
        Ok(())
    }
}
