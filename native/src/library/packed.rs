//! What a packed model says about itself, as far as a list needs it: read leniently, since a list shows what is there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

/// The file that makes a folder a packed model.
pub const MANIFEST: &str = "manifest.json";
/// The largest manifest that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The model's name for people.
    pub title: Option<String>,
    /// The id of its family.
    pub family: Option<String>,
    /// How large the model is.
    pub bytes: Option<u64>,
}

/// Reads the manifest in a folder.
///
/// # Errors
/// If it cannot be read, is too large, or is no JSON object.
pub fn manifest(folder: &Path) -> io::Result<Manifest> {
    let mut text = Vec::new();
    File::open(folder.join(MANIFEST))?.take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", LIMIT >> 20)));
    }
    let manifest: Value = serde_json::from_slice(&text)?;
    let Value::Object(fields) = manifest else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a JSON object"));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let bytes = ["bytes", "total_bytes", "size"].into_iter().find_map(|name| fields.get(name)?.as_u64());
    Ok(Manifest { title: text("title"), family: text("family"), bytes })
}
