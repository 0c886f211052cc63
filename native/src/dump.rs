//! `--dump-latents`: every tensor between the noise and the picture, as one safetensors file.
//!
//! A safetensors file begins with a list of all its tensors, and how many steps a run takes is known at its end
//! only (DPM adaptive chooses its own). So values go to a spool on the disk as they come, and the file is put
//! together when the run has ended: the memory needed is that of one tensor.

use std::io;
use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::files::{self, Spool, WriteError};

/// A dump in the making.
pub struct Dump {
    path: PathBuf,
    spool: Spool,
    tensors: Vec<(String, TensorInfo)>,
    length: usize,
}

impl Dump {
    /// Begins a dump that will be the file `path`.
    ///
    /// # Errors
    /// If nothing can be written beside it.
    pub fn create(path: PathBuf) -> Result<Self, WriteError> {
        let spool = Spool::create(files::folder_of(&path))?;
        Ok(Self { path, spool, tensors: Vec::new(), length: 0 })
    }

    /// Begins a tensor. Each name comes once, and all of its values follow before the next tensor begins.
    pub fn begin(&mut self, name: &str, shape: &[usize]) {
        let end = self.length + shape.iter().product::<usize>() * size_of::<f32>();
        let info = TensorInfo { dtype: Dtype::F32, shape: shape.to_vec(), data_offsets: (self.length, end) };
        self.tensors.push((name.to_owned(), info));
        self.length = end;
    }

    /// Adds values of the tensor that was begun last, in row-major order.
    ///
    /// # Errors
    /// What the system reports.
    pub fn values(&mut self, values: &[f32]) -> Result<(), WriteError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.spool.append(&bytes)
    }

    /// Writes the file and says where it is.
    ///
    /// # Errors
    /// What the system reports; nothing remains then.
    pub fn finish(self) -> Result<PathBuf, WriteError> {
        let invalid = |error: safetensors::SafeTensorError| io::Error::new(io::ErrorKind::InvalidData, error);
        let header = Metadata::new(None, self.tensors).map_err(invalid).and_then(|tensors| Ok(serde_json::to_vec(&tensors)?));
        let mut header = header.map_err(|source| WriteError { path: self.path.clone(), source })?;
        // Readers that map the file want the values aligned; the format allows spaces at the header's end.
        header.resize(header.len().next_multiple_of(8), b' ');
        files::write(&self.path, |file| {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            self.spool.copy_to(file).map(drop)
        })?;
        Ok(self.path)
    }
}
