//! `encaustic png-info`: with what settings a picture was made.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use encaustic_picture::infotext::{Infotext, KEYWORD};
use encaustic_picture::png_text::{self, PngText};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::failure::{Failure, Refusal};
use crate::terminal;

/// Keywords under which other programs keep their settings, and whose they are.
const FOREIGN: &[(&str, &str)] = &[
    ("prompt", "ComfyUI's graph as its interface takes it"),
    ("workflow", "ComfyUI's graph as its editor shows it"),
    ("invokeai_metadata", "InvokeAI's settings"),
    ("sd-metadata", "InvokeAI's settings, older form"),
    ("Dream", "InvokeAI's settings, oldest form"),
];

/// What the command reports, for machines.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    width: u32,
    height: u32,
    /// The infotext as it stands in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    parsed: Option<Parsed>,
    /// Which texts of ComfyUI are present.
    comfyui: Comfy,
    /// Every text in the file: keyword and length in bytes.
    texts: Vec<Text<'a>>,
}

#[derive(Serialize)]
struct Parsed {
    prompt: String,
    negative_prompt: String,
    #[serde(serialize_with = "in_order")]
    settings: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Comfy {
    prompt: bool,
    workflow: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    keyword: &'a str,
    bytes: usize,
}

fn in_order<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Prints what a PNG file tells about itself, as text or as one JSON object.
///
/// # Errors
/// If the file is absent, no PNG, or damaged; of a damaged one what could be read is told nevertheless.
pub fn run(file: &Path, json: bool) -> Result<(), Failure> {
    let mut png = open(file)?;
    let damage = png.damage.take();
    let parameters = png.get(KEYWORD);
    let parsed = parameters.map(Infotext::parse);
    let path = file.to_owned();
    if !json {
        print(&png, parameters)?;
        return damage.map_or(Ok(()), |source| Err(Failure::Picture { path, source, report: None }));
    }
    let report = Report {
        file: file.display().to_string(),
        width: png.width,
        height: png.height,
        parameters,
        parsed: parsed.map(|info| Parsed { prompt: info.prompt, negative_prompt: info.negative, settings: info.settings }),
        comfyui: Comfy { prompt: png.get("prompt").is_some(), workflow: png.get("workflow").is_some() },
        texts: png.entries.iter().map(|(keyword, text)| Text { keyword, bytes: text.len() }).collect(),
    };
    match damage {
        None => terminal::tell(serde_json::to_string(&report).map_err(Failure::report)?),
        Some(source) => {
            let report = Some(serde_json::to_value(&report).map_err(Failure::report)?);
            Err(Failure::Picture { path, source, report })
        }
    }
}

fn print(png: &PngText, parameters: Option<&str>) -> Result<(), Failure> {
    match parameters {
        Some(text) => terminal::tell(terminal::for_stdout(text))?,
        None => terminal::say(format_args!("no `{KEYWORD}` text in this picture ({} x {})", png.width, png.height)),
    }
    for (keyword, whose) in FOREIGN {
        if let Some(text) = png.get(keyword) {
            terminal::say(format_args!("also holds `{keyword}`: {whose} ({} bytes)", text.len()));
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<PngText, Failure> {
    let refuse = |problem: String| Refusal::new("FILE", format!("{}: {problem}", path.display()));
    let kind = fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    // A pipe or a device may never end.
    if !kind.is_file() {
        return Err(refuse("not a regular file".to_owned()).hint("name a PNG file").into());
    }
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    png_text::read(BufReader::new(file)).map_err(|source| Failure::Picture { path: path.to_owned(), source, report: None })
}
