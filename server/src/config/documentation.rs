//! The settings as a text: a file of TOML, with or without their help, and a page of the documentation.

use super::{Config, ENTRIES, value};

/// A file of TOML with every setting, its help and its default.
pub fn documentation() -> String {
    let defaults = Config::default();
    let mut text = String::new();
    let mut section = "";
    for entry in ENTRIES {
        if entry.section != section {
            section = entry.section;
            text += &format!("[{section}]\n\n");
        }
        for line in entry.help.lines() {
            text += &format!("# {}\n", line.trim_start());
        }
        text += &format!("# ({} or {})\n", entry.flag(), entry.variable());
        text += &format!("#{} = {}\n\n", entry.id, value::toml(&(entry.get)(&defaults)));
    }
    text
}

/// The settings as they are, as a file of TOML; what is secret is not told.
pub fn in_effect(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in ENTRIES {
        if entry.section != section {
            text += &format!("{}[{}]\n", if section.is_empty() { "" } else { "\n" }, entry.section);
            section = entry.section;
        }
        text += &format!("{} = {}\n", entry.id, value::toml(&(entry.get)(config)));
    }
    text
}

/// The same as [`documentation`] in Markdown, for `docs/configuration.md`.
pub fn markdown() -> String {
    let defaults = Config::default();
    let mut text = String::new();
    let mut section = "";
    for entry in ENTRIES {
        if entry.section != section {
            section = entry.section;
            text += &format!("\n## `[{section}]`\n\n| key | default | what |\n|---|---|---|\n");
        }
        let default = match (entry.get)(&defaults) {
            empty if empty.is_empty() => String::new(),
            value => format!("`{}`", value::toml(&value)),
        };
        let help: Vec<&str> = entry.help.lines().map(str::trim).collect();
        text += &format!("| `{}` | {default} | {} |\n", entry.id, help.join(" ").replace('|', "\\|"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Config {
        Config::read(Some((Path::new("e.toml"), text)), |_| None, &[]).unwrap()
    }

    #[test]
    fn the_documentation_is_a_file_of_defaults() {
        let documentation = documentation();
        let uncommented: String = documentation
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(read(&uncommented), Config::default(), "{uncommented}");
    }

    #[test]
    fn what_is_in_effect_is_a_file_too() {
        let config = Config { capacity: 3, log_format: crate::logs::Format::Json, ..Config::default() };
        assert_eq!(read(&in_effect(&config)), config);
    }

    #[test]
    fn the_page_of_the_documentation_is_the_table_of_settings() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let mark = "<!-- the settings: written by a test, see above -->\n";
        let (head, table) = page.split_once(mark).unwrap();
        if std::env::var_os("ENCAUSTIC_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{head}{mark}{}", markdown())).unwrap();
        } else {
            assert_eq!(
                table,
                markdown(),
                "run `ENCAUSTIC_WRITE_DOCS=1 cargo test -p encaustic-server page_of_the` and look at the change"
            );
        }
    }
}
