//! A drawn picture becomes a file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use encaustic_picture::png;
use encaustic_protocol::Request;
use sha2::{Digest, Sha256};

use crate::App;
use crate::host::Pixels;
use crate::images::NewImage;
use crate::job::Job;

/// Writes a picture's file; what comes back is entered with the end of its job.
pub(super) fn keep(
    app: &App,
    _job: &Job,
    model: &str,
    seed: u64,
    pixels: &Pixels,
    settings: Request,
    parameters: String,
) -> Result<NewImage, String> {
    let mut bytes = Vec::new();
    let Pixels { width, height, rgb } = pixels;
    let (width, height) = (*width, *height);
    png::write(png::Pixels { width, height, rgb }, &parameters, &mut bytes).map_err(|error| error.to_string())?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = path(&app.data, &sha256);
    write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let (mime, bytes, model) = ("image/png".to_owned(), bytes.len() as u64, model.to_owned());
    Ok(NewImage { sha256, mime, bytes, width, height, seed, model, settings, parameters })
}

fn path(data: &Path, sha256: &str) -> PathBuf {
    let (folder, name) = sha256.split_at_checked(2).unwrap_or(("00", sha256));
    data.join("images").join(folder).join(format!("{name}.png"))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let part = path.with_extension("part");
    let mut file = BufWriter::new(File::create(&part)?);
    file.write_all(bytes)?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&part, path)
}
