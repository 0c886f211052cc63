//! `encaustic models`: what there is to draw with, told from headers.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::hash::{Bar, Cache};
use crate::library::model::{self, Model};
use crate::library::{Kind, Library};
use crate::table::{self, Align, Column};
use crate::{interrupt, pull, terminal};

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  encaustic models
  encaustic models --models ~/stable-diffusion-webui/models --kind lora
  encaustic models --hash --json

Names can be given to `generate --model` and `--vae`, to `info`, and those of our
own folder to `rm`.
Models lie in a folder of our own (ENCAUSTIC_HOME moves it), in the trees of other
programs, which are only read (--models, ENCAUSTIC_MODELS), and in the hub's cache.";

/// `encaustic models`
#[derive(Debug, Args)]
pub struct Options {
    /// Only this kind; may be given several times
    #[arg(long, value_enum)]
    pub kind: Vec<Kind>,

    /// Compute the hashes that are not known yet: reads every file in whole
    #[arg(long)]
    pub hash: bool,
}

/// Prints what there is.
///
/// # Errors
/// If the report cannot be written, and on Ctrl-C while files are hashed.
pub fn run(options: &Options, json: bool) -> Result<(), Failure> {
    let library = Library::open();
    let mut cache = Cache::load();
    let told = library.entries().map(|(found, name)| library.tell(found, name, &cache));
    let hub = pull::cached();
    let of_hub = hub.iter().map(|cached| model::of_hub(cached, &cache));
    let mut models: Vec<Model> = model::demo().into_iter().chain(told).chain(of_hub).collect();
    models.retain(|model| options.kind.is_empty() || options.kind.contains(&model.kind));
    models.sort_by_cached_key(|model| (model.kind, model.name.to_lowercase(), model.name.clone()));
    let mut warnings = library.warnings.clone();
    if options.hash {
        hash(&mut models, &mut cache, &mut warnings)?;
    }
    for warning in &warnings {
        terminal::say(terminal::harmless(&format!("warning: {warning}")));
    }
    if !json {
        return terminal::tell(describe(&models, &library));
    }
    let places: Vec<_> = library
        .places
        .iter()
        .map(|place| json!({"label": place.label, "path": place.path.to_string_lossy(), "read_only": !place.is_own}))
        .collect();
    let bytes: u64 = models.iter().map(|model| model.bytes).sum();
    let text = serde_json::to_string(&json!({
        "models": models, "places": places, "count": models.len(), "bytes": bytes, "warnings": warnings,
    }));
    terminal::tell(text.map_err(Failure::report)?)
}

/// Computes what is missing. What is done is kept, whatever comes after.
fn hash(models: &mut [Model], cache: &mut Cache, warnings: &mut Vec<String>) -> Result<(), Failure> {
    interrupt::listen(interrupt::AT_ONCE)?;
    let missing = models.iter().filter(|model| model.hash.is_none() && model.hashed_file.is_some()).count();
    let mut bar = Bar::new();
    let mut done = 0;
    for model in models.iter_mut().filter(|model| model.hash.is_none()) {
        let Some(file) = model.hashed_file.clone() else { continue };
        let title = format!("hashing {} ({} of {missing})", terminal::harmless(&model.name), done + 1);
        let sha = cache.of_file(&file, &mut |bytes, of| bar.show(&title, bytes, of));
        bar.clear();
        match sha {
            Ok(sha) => model.set_hash(&sha),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                cache.save();
                return Err(Failure::Interrupted(format!("after {done} of {missing} hashes")));
            }
            Err(error) => warnings.push(format!("{}: {error}", file.display())),
        }
        done += 1;
        // Long enough to be worth it at once, should the next one not come to its end.
        if model.bytes > LONG {
            cache.save();
        }
    }
    cache.save();
    Ok(())
}

/// Above this size a hash is saved at once, in bytes.
const LONG: u64 = 256 << 20;

/// What a cell says where nothing is known.
const NOTHING: &str = "-";

fn describe(models: &[Model], library: &Library) -> String {
    let width = table::terminal_width();
    let column = |title, align, least, leaves| Column { title, align, least, leaves };
    let columns = [
        column("NAME", Align::Left, Some(16), 0),
        column("KIND", Align::Left, None, 0),
        column("FAMILY", Align::Left, None, 1),
        column("ABOUT", Align::Left, Some(14), 3),
        column("TYPE", Align::Left, None, 4),
        column("SIZE", Align::Right, None, 0),
        column("HASH", Align::Left, None, 2),
        column("PLACE", Align::Left, Some(6), 5),
    ];
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let mut lines = table::lines(&columns, &rows, width);
    if let (Some(head), true) = (lines.first_mut(), io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()) {
        *head = format!("\u{1b}[1m{head}\u{1b}[0m");
    }
    lines.push(String::new());
    lines.push(totals(models));
    let mut say = |text: String| lines.push(terminal::harmless(&text).into_owned());
    let widest = library.places.iter().map(|place| table::width_of(&place.label)).max().unwrap_or(0);
    for place in &library.places {
        let count = models.iter().filter(|model| model.place == place.label).count();
        let access = if place.is_own { "" } else { ", only read" };
        let blanks = " ".repeat(widest.saturating_sub(table::width_of(&place.label)));
        say(format!("  {}{blanks}  {} ({count}{access})", place.label, home(&place.path)));
    }
    if library.found.is_empty() {
        say("Put models into our own folder, or name the tree of another program: --models DIR.".to_owned());
    }
    faults(models, &mut say);
    lines.join("\n")
}

fn row(model: &Model) -> Vec<String> {
    let v = model.prediction.as_deref() == Some("v_prediction");
    let family = model.family.as_ref().map_or(String::new(), |family| if v { format!("{family} v") } else { family.clone() });
    let dtypes: Vec<String> = types(&model.dtypes);
    vec![
        model.name.clone(),
        model.kind.label().to_owned(),
        family,
        model.detail.clone(),
        dtypes.join("+"),
        size(model.bytes),
        model.hash.clone().unwrap_or_else(|| if model.hashed_file.is_some() { NOTHING.to_owned() } else { String::new() }),
        model.place.clone(),
    ]
}

/// The types of nearly all numbers, the commonest first: indices and the like are not worth a word.
fn types(dtypes: &BTreeMap<String, u64>) -> Vec<String> {
    let all: u64 = dtypes.values().sum();
    let mut counted: Vec<_> = dtypes.iter().filter(|(_, count)| count.saturating_mul(50) >= all).collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    counted.into_iter().map(|(dtype, _)| dtype.to_lowercase()).collect()
}

fn totals(models: &[Model]) -> String {
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for model in models {
        *kinds.entry(model.kind).or_default() += 1;
    }
    let words =
        kinds.into_iter().map(|(kind, count)| format!("{count} {}", if count == 1 { kind.label() } else { kind.plural() }));
    let bytes = models.iter().map(|model| model.bytes).sum();
    match models.len() {
        0 => "nothing of that kind".to_owned(),
        count => format!("{count} in {}: {}", size(bytes), words.collect::<Vec<_>>().join(", ")),
    }
}

/// How many faults are told one by one.
const FAULTS: usize = 20;

/// What cannot be used, and why.
fn faults(models: &[Model], say: &mut dyn FnMut(String)) {
    let of = |kind: Kind| models.iter().filter(move |model| model.kind == kind);
    let name = |model: &Model| model.name.replace('\n', " ");
    if models.iter().any(|model| model.problem.is_some()) {
        say("\nCannot be used:".to_owned());
    }
    for model in of(Kind::Damaged).take(FAULTS) {
        say(format!("  {}: {}", name(model), model.problem.as_deref().unwrap_or_default()));
    }
    if let Some(more) = of(Kind::Damaged).count().checked_sub(FAULTS).filter(|more| *more > 0) {
        say(format!("  {more} more that are damaged: `--kind damaged --json` tells all"));
    }
    // One reason for all of them, however many there are.
    let mut pickles = of(Kind::Pickle);
    if let Some(first) = pickles.next() {
        let whose = match pickles.count() {
            0 => name(first),
            more => format!("{} and {more} more", name(first)),
        };
        say(format!("  {whose}: {}", model::PICKLE));
    }
}

/// A path with `~` for the user's folder.
fn home(path: &Path) -> String {
    let below = std::env::home_dir().and_then(|home| Some(path.strip_prefix(home).ok()?.to_owned()));
    below.map_or_else(|| path.display().to_string(), |below| format!("~/{}", below.display()))
}

/// `3.97 GiB`
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // What would be rounded to 1024 is 1 of the next.
    while value >= 1023.5 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024.0, Some(next));
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", unit.copied().unwrap_or_default())
}
