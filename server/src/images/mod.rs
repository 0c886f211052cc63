//! The pictures: files on a disk, named by what is in them, and what is known of them in the database.
//!
//! A picture's file is on the disk before its row is in the database, and goes after it: a row always has its file. A file
//! without a row (of a job whose worker died) is swept away after a day.
//!
//! | module | what it does |
//! |---|---|
//! | [`store`] | files: writing, opening, removing, sweeping |
//! | [`format`] | encoding as PNG, JPEG and WebP, with how a picture was made; thumbnails |
//! | [`name`] | names for people: patterns, made safe on every system |
//! | [`output`] | the folder into which pictures are written under such names |
//! | `reception` | who may send pictures at the same time |
//! | [`rows`] | the database: entering, changing, deleting |
//! | [`list`] | the database: pages, searches |
//! | [`collections`] | the database: collections |
//! | [`upload`] | files of strangers: looked at, decoded within limits, encoded anew |
//! | [`upkeep`] | sweeping, now and then |

pub mod collections;
mod disk;
pub mod format;
pub mod list;
pub mod name;
pub mod output;
mod reception;
pub mod rows;
pub mod store;
pub mod upkeep;
pub mod upload;

use encaustic_protocol::{ImageRef, Request};

pub use reception::Reception;
pub use store::{Hold, Made, Options, Store, StoreError, Stored};
pub use upload::inspect;

/// A picture whose file is written and which is to be entered into the database, together with the end of its job.
#[derive(Clone, Debug, PartialEq)]
pub struct NewImage {
    /// The SHA-256 of the file, in 64 hexadecimal digits; its name in the store, and in the job's events.
    pub sha256: String,
    /// `image/png`, `image/jpeg` or `image/webp`.
    pub mime: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The seed of this very picture.
    pub seed: u64,
    /// The model, by its name in the library.
    pub model: String,
    /// With every setting filled in.
    pub settings: Request,
    /// How it was made, in the words of A1111's `parameters`.
    pub parameters: String,
    /// Keeps the file until the row is there.
    pub hold: Hold,
}

impl NewImage {
    /// What a job's last event says of it.
    pub fn reference(&self) -> ImageRef {
        ImageRef { name: self.sha256.clone(), seed: self.seed, width: self.width, height: self.height }
    }
}
