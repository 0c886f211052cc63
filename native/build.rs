//! Puts the demo model into the binary, so that a copied `encaustic` draws with nothing else at hand.
//!
//! Every file under `assets/demo/` becomes an entry of a table of path and bytes that `src/demo.rs` includes. The
//! folder may be absent: the table is empty then, and the command says so when the model is asked for.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let folder = here.join("../assets/demo");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    if folder.is_dir() {
        collect(&folder.canonicalize()?, Path::new(""), &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    table.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("demo_files.rs"), table)?;
    Ok(())
}

/// All files below a folder: their names in it, parts joined by `/`, and where they are.
fn collect(folder: &Path, below: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &name, files)?;
        } else if name.extension().is_none_or(|extension| extension != "md") {
            // (The model's card is for readers of the repository.)
            files.push((name.to_string_lossy().replace('\\', "/"), entry.path()));
        }
    }
    Ok(())
}
