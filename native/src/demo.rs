//! The model in the box: the files of `assets/demo/`, part of this program.

/// The name by which it is asked for.
pub const NAME: &str = encaustic_server::host::BOXED;

/// Path in the model's folder (parts joined by `/`) and content, sorted. Empty if the folder was absent when this
/// program was built.
pub static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/demo_files.rs"));

/// The content of a file.
pub fn file(name: &str) -> Option<&'static [u8]> {
    FILES.binary_search_by(|(known, _)| (*known).cmp(name)).ok().and_then(|at| FILES.get(at)).map(|(_, bytes)| *bytes)
}
