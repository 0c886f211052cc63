//! Building and loading the golden models.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, FloatDType};
use encaustic_engine::weights::{Checkpoint, FileSet, KeyMap, Precision, choose_files, load_into};

use super::golden_dir;

/// A component's folder, as in `models/sd15/unet`.
pub fn folder(path: &str) -> PathBuf {
    golden_dir().join(path)
}

/// Its `config.json`.
pub fn config_text(path: &str) -> Vec<u8> {
    let file = folder(path).join("config.json");
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Its weights.
pub fn checkpoint(path: &str) -> Checkpoint<'static> {
    let folder = folder(path);
    let names: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    match choose_files(&names, Precision::Full).unwrap() {
        FileSet::Single(name) => checkpoint_file(&folder.join(name)),
        FileSet::Sharded(name) => {
            let index = std::fs::read(folder.join(&name)).unwrap();
            Checkpoint::sharded(&name, &index, |shard| std::fs::read(folder.join(shard)).map_err(|e| e.to_string())).unwrap()
        }
    }
}

/// One weights file.
pub fn checkpoint_file(path: &Path) -> Checkpoint<'static> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Checkpoint::single(&path.display().to_string(), bytes).unwrap_or_else(|e| panic!("{e}"))
}

/// Fills a module in f32.
#[track_caller]
pub fn load<M: Module>(module: M, path: &str, keys: &KeyMap, device: &Device) -> M {
    load_into(module, path, &checkpoint(path), keys, FloatDType::F32, device).unwrap_or_else(|e| panic!("{e}"))
}
