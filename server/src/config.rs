//! The configuration: every setting of the server, declared once.
//!
//! To add a setting, add an entry to [`config!`] below. Its flag, its environment variable, its place in the TOML file, its
//! check and its documentation (`encaustic config`) come from that entry. A flag wins over the environment, that over the
//! file, that over the default.

mod documentation;
mod value;

use std::path::{Path, PathBuf};

use crate::images::format::{Format, Quality};
use crate::images::name::Pattern;

pub use documentation::{documentation, in_effect, markdown};
pub(crate) use value::choices;
pub use value::{List, Secret, Setting};

macro_rules! config {
    ($( $section:literal { $( $(#[doc = $help:literal])+ $id:ident: $type:ty = $default:expr; )+ } )+) => {
        /// All settings.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($( $(#[doc = $help])+ pub $id: $type, )+)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($( $id: $default, )+)+ }
            }
        }

        /// The settings in the order in which they are documented.
        pub static ENTRIES: &[Entry] = &[$($(
            Entry {
                section: $section,
                id: stringify!($id),
                help: concat!($($help, "\n"),+),
                set: |config, text| { config.$id = Setting::parse(text)?; Ok(()) },
                get: |config| Setting::write(&config.$id),
            },
        )+)+];
    };
}

config! {
    "server" {
        /// Where to listen: an address of this machine with a port. Any other than a loopback address wants an API key.
        listen: std::net::SocketAddr = std::net::SocketAddr::from(([127, 0, 0, 1], 7801));
        /// Further names by which browsers may call this server, as `name` or `name:port`: behind a reverse proxy, its own.
        hosts: List<String> = List::default();
        /// Origins of other pages that may use this server, as `https://example.com`.
        origins: List<String> = List::default();
        /// Open the page in a browser when the server is ready.
        open: bool = true;
        /// Serve the page from this folder instead of the one inside the program.
        page: Option<PathBuf> = None;
    }
    "access" {
        /// Want an API key of everybody, also at this machine. Behind a reverse proxy, whoever comes through it needs one anyway.
        require_key: bool = false;
        /// How many requests a minute a key may make that says nothing else; 0 for any number.
        key_rate: u32 = 600;
        /// How many connections may be open at the same time; others wait. Fewer where the system allows fewer open files.
        connections: u32 = 4096;
    }
    "data" {
        /// Where the database and the pictures are kept; empty for the usual place of this system.
        data: Option<PathBuf> = None;
    }
    "images" {
        /// How pictures are kept: `png` (exact), `jpeg` (small) or `webp` (exact, smaller than PNG). Each says how it was made.
        image_format: Format = Format::Png;
        /// How good JPEG pictures are: from 1 to 100.
        quality: Quality = Quality::default();
        /// A folder into which every picture is written as well, under a name for people; empty for none.
        output: Option<PathBuf> = None;
        /// The names in that folder and in downloads. Between braces: `date`, `time`, `number`, `seed`, `model`, `prompt`, `width`,
        /// `height`, `job`; a slash begins a folder. The ending comes by itself.
        pattern: Pattern = Pattern::default();
        /// How many MiB an uploaded picture may have.
        upload_mib: u32 = 32;
    }
    "devices" {
        /// What computes: `auto` for the best device, `all` for all but the processor (or that, if it is all there is), or names
        /// that `encaustic devices` lists. Each works on a job of its own; `cpu,cpu` are two workers on the processor.
        devices: List<String> = List(vec!["auto".to_owned()]);
        /// The model for jobs that name none; empty for the one in the box.
        model: Option<String> = None;
        /// No more memory than this is used on each device, in bytes: pictures that would take more are made in smaller
        /// batches, then decoded in tiles, else refused. Empty for all that the device has.
        memory_limit: Option<u64> = None;
        /// The precision: `auto`, `f32` or `f16`.
        precision: String = "auto".to_owned();
    }
    "queue" {
        /// How many jobs may wait; more are refused with 429. A client with fewer than 8 that wait gets some in nevertheless.
        capacity: u64 = 1000;
        /// For how many seconds a job may run.
        timeout_secs: u32 = 3600;
        /// For how many seconds a device may take to stop a job whose time is over or that was cancelled; then the job is ended
        /// without it. Neither a step nor the loading of a model can be broken off. A server that ends waits for so long as well,
        /// after `shutdown_secs`.
        hang_secs: u32 = 30;
        /// For how many seconds running jobs may go on when the server is asked to end; then they are begun again at the next
        /// start.
        shutdown_secs: u32 = 30;
        /// How many jobs for the model that is loaded may come before one for another; 0 for strict order.
        look_ahead: u32 = 8;
        /// After how many tries that ended with the loss of their device a job is given up.
        attempts: u32 = 3;
        /// After how many deaths of the whole server while it ran a job is held to be their cause, and given up. From the second
        /// on it runs alone, so that no other job is held to be the cause; `look_ahead` others may come before it then.
        crashes: u32 = 10;
        /// For how many hours an idempotency key stands for its job.
        keep_keys_hours: u32 = 24;
        /// After how many days ended jobs are forgotten; 0 for never. Their pictures stay.
        keep_jobs_days: u32 = 90;
    }
    "openai" {
        /// Names that clients of OpenAI's interface ask for, and the models that they get: `name=model`, or `name` for the usual
        /// one. A name may end with `*` for whatever follows.
        openai_models: List<String> = List(["dall-e-*", "gpt-image-*", "chatgpt-image-*"].map(str::to_owned).to_vec());
    }
    "webhooks" {
        /// Hosts of your own that may be told when a job has ended, as `name` or `name:port`. They may be in a private network
        /// and be spoken to over plain http; all others must have public addresses and speak https.
        webhook_hosts: List<String> = List::default();
        /// What messages are signed with: `whsec_` and random bytes in Base64. Empty: a secret that the server makes and keeps.
        webhook_secret: Option<Secret> = None;
        /// After how many seconds a message that was not taken is sent again: one number per try.
        webhook_retries: List<u32> = List(vec![5, 30, 120, 600, 1800, 7200, 21600]);
    }
    "log" {
        /// How much is told on the standard error: `error`, `warn`, `info`, `debug` or `trace`, or a list like
        /// `info,encaustic_server=debug`. `RUST_LOG` has the last word.
        log_level: String = "info".to_owned();
        /// How: `text` for people, or `json`, one object per line.
        log_format: crate::logs::Format = crate::logs::Format::Text;
        /// Tell the prompts of jobs, too. They are private otherwise.
        log_prompts: bool = false;
    }
    "metrics" {
        /// A second address for `/metrics`, `/health` and `/ready` alone, without a key: for a network that only Prometheus is in.
        /// Empty for none; at the first address, `/metrics` wants what everything else wants. An address that others can reach is
        /// taken only once there is an API key; it may be called by its address, by a name without a dot, or by one of `hosts`.
        metrics_listen: Option<std::net::SocketAddr> = None;
        /// Where an OpenTelemetry collector takes traces by OTLP over HTTP, as `http://127.0.0.1:4318/v1/traces`; empty for none.
        /// Wants a build with the feature `otel`.
        otel_endpoint: Option<String> = None;
    }
}

/// A setting's row in the table.
pub struct Entry {
    /// Its table in the file.
    pub section: &'static str,
    /// Its name: the key in the file; with dashes, the flag; in capitals after `ENCAUSTIC_`, the variable.
    pub id: &'static str,
    /// What it is for, one line per sentence or so.
    pub help: &'static str,
    /// Sets it from a text.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
    /// Its value as such a text.
    pub get: fn(&Config) -> String,
}

/// What is wrong with a setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where it was set: a flag, a variable, a file and a key.
    pub place: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl Entry {
    /// `--timeout-secs`
    pub fn flag(&self) -> String {
        format!("--{}", self.id.replace('_', "-"))
    }

    /// `ENCAUSTIC_TIMEOUT_SECS`
    pub fn variable(&self) -> String {
        format!("ENCAUSTIC_{}", self.id.to_uppercase())
    }
}

impl Config {
    /// Reads the settings: from a file, then the environment, then flags (by their ids).
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn read(
        file: Option<(&Path, &str)>,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some((path, text)) = file {
            config.take_file(path, text)?;
        }
        for entry in ENTRIES {
            if let Some(text) = environment(&entry.variable()) {
                set(entry, &mut config, &text, entry.variable())?;
            }
            for (_, text) in flags.iter().filter(|(id, _)| *id == entry.id) {
                set(entry, &mut config, text, entry.flag())?;
            }
        }
        Ok(config)
    }

    fn take_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let wrong = |place: String, problem: String| ConfigError { place, problem };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| wrong(path.display().to_string(), error.to_string()))?;
        for (section, values) in &table {
            let here = |key: &str| format!("{}, [{section}] {key}", path.display());
            let Some(values) = values.as_table() else {
                let problem = format!("`{section}` stands outside of a table; {}", meant(section));
                return Err(wrong(path.display().to_string(), problem));
            };
            for (key, value) in values {
                let entry = ENTRIES.iter().find(|entry| entry.section == section && entry.id == key);
                let Some(entry) = entry else {
                    return Err(wrong(here(key), format!("there is no such setting; {}", meant(key))));
                };
                set(entry, self, &value::text(value), here(key))?;
            }
        }
        Ok(())
    }
}

fn set(entry: &Entry, config: &mut Config, text: &str, place: String) -> Result<(), ConfigError> {
    (entry.set)(config, text).map_err(|problem| ConfigError { place, problem })
}

/// What to write instead of a key that is none.
fn meant(key: &str) -> String {
    let names: Vec<_> = ENTRIES.iter().map(|entry| encaustic_protocol::Entry::new(entry.id, entry.id)).collect();
    let entry = encaustic_protocol::nearest(key, &names).and_then(|id| ENTRIES.iter().find(|entry| entry.id == id));
    match entry {
        Some(entry) if entry.id == key => format!("it belongs into the table [{}]", entry.section),
        Some(entry) => format!("did you mean `{}` in the table [{}]? `encaustic config` lists all", entry.id, entry.section),
        None => "`encaustic config` lists all".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, variable: &str, flag: Option<&str>) -> Result<Config, ConfigError> {
        let flags: Vec<_> = flag.map(|text| ("capacity", text.to_owned())).into_iter().collect();
        let environment = |name: &str| (name == "ENCAUSTIC_CAPACITY" && !variable.is_empty()).then(|| variable.to_owned());
        Config::read(Some((Path::new("e.toml"), file)), environment, &flags)
    }

    #[test]
    fn secrets_are_not_told() {
        let config = Config { webhook_secret: Some(Secret("whsec_hush".into())), ..Config::default() };
        for told in [format!("{config:?}"), in_effect(&config)] {
            assert!(told.contains("***") && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "[queue]\ncapacity = 3\n[devices]\ndevices = [\"cpu\", \"cpu\"]";
        let capacity = |config: Result<Config, ConfigError>| config.unwrap().capacity;
        assert_eq!(capacity(read("", "", None)), 1000);
        assert_eq!(capacity(read(file, "", None)), 3);
        assert_eq!(capacity(read(file, "4", None)), 4);
        assert_eq!(capacity(read(file, "4", Some("5"))), 5);
        assert_eq!(read(file, "", None).unwrap().devices.0, ["cpu", "cpu"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (file, variable, words) in [
            ("[queue]\ncapacity = \"x\"", "", "e.toml, [queue] capacity: "),
            ("[queue]\ncapacty = 3", "", "did you mean `capacity` in the table [queue]?"),
            ("[server]\ncapacity = 3", "", "it belongs into the table [queue]"),
            ("[server]\nxyzzy = 3", "", "there is no such setting; `encaustic config` lists all"),
            ("capacity = 3", "", "outside of a table; it belongs into the table [queue]"),
            ("[log]\nlog_format = \"xml\"", "", "[log] log_format: \"xml\" is none of text, json"),
            ("[queue", "", "e.toml"),
            ("", "-1", "ENCAUSTIC_CAPACITY: "),
        ] {
            let error = read(file, variable, None).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
