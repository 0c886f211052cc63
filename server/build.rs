//! Has the page built in again when it has changed. `cargo xtask web` touches this file, so that a page that was not there before is
//! noticed as well.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::path::Path::new("../dist").exists() {
        println!("cargo::rerun-if-changed=../dist");
    }
}
