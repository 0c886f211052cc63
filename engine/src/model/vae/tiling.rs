//! Large pictures in overlapping tiles whose seams are cross-faded.
//!
//! The same tiles and the same blending as diffusers' `enable_vae_tiling`: tiles of the training size start every
//! three quarters of it, and over the last quarter each fades into its right and lower neighbour.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

/// How a picture is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tiling {
    /// A tile's height and width in picture points; rounded down to whole latent points.
    pub sample_size: usize,
    /// The share of a tile that overlaps the next one, within 0..=0.5.
    pub overlap: f64,
}

impl Tiling {
    /// diffusers' tiling for a network trained on pictures of `sample_size`.
    pub fn of_size(sample_size: usize) -> Self {
        Self { sample_size, overlap: 0.25 }
    }

    /// Whether a picture of this many points is larger than one tile.
    pub fn splits(&self, height: usize, width: usize) -> bool {
        height.max(width) > self.sample_size
    }

    pub(super) fn encoding(&self, compression: usize) -> Grid {
        let (latent, picture) = self.sizes(compression);
        self.grid(picture, latent)
    }

    pub(super) fn decoding(&self, compression: usize) -> Grid {
        let (latent, picture) = self.sizes(compression);
        self.grid(latent, picture)
    }

    fn sizes(&self, compression: usize) -> (usize, usize) {
        let latent = (self.sample_size / compression).max(1);
        (latent, latent * compression)
    }

    fn grid(&self, input: usize, output: usize) -> Grid {
        let overlap = if self.overlap.is_finite() { self.overlap.clamp(0.0, 0.5) } else { 0.25 };
        let share = |size: usize, part: f64| (size as f64 * part) as usize;
        let fade = share(output, overlap);
        Grid { tile: input, stride: share(input, 1.0 - overlap).max(1), fade, kept: output - fade }
    }
}

/// A [`Tiling`] in points of what goes in and what comes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Size of a tile of the input.
    tile: usize,
    /// From the start of a tile to the start of the next, in the input.
    stride: usize,
    /// How much of a tile's beginning is cross-faded, in the output.
    fade: usize,
    /// How much of a tile is kept, in the output.
    kept: usize,
}

/// Applies `run` tile by tile and joins the results.
pub(super) fn tiled(x: Tensor<4>, grid: Grid, run: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let mut above: Vec<Tensor<4>> = Vec::new();
    let mut rows = Vec::new();
    for top in (0..height).step_by(grid.stride) {
        let strip = x.clone().narrow(2, top, grid.tile.min(height - top));
        let mut row: Vec<Tensor<4>> = Vec::new();
        for (column, left) in (0..width).step_by(grid.stride).enumerate() {
            let mut tile = run(strip.clone().narrow(3, left, grid.tile.min(width - left)));
            if let Some(upper) = above.get(column) {
                tile = fade(upper, tile, grid.fade, 2);
            }
            if let Some(before) = row.last() {
                tile = fade(before, tile, grid.fade, 3);
            }
            row.push(tile);
        }
        let kept = row.iter().map(|tile| {
            let [_, _, height, width] = tile.dims();
            tile.clone().narrow(2, 0, grid.kept.min(height)).narrow(3, 0, grid.kept.min(width))
        });
        rows.push(Tensor::cat(kept.collect(), 3));
        above = row;
    }
    Tensor::cat(rows, 2)
}

/// Fades the last `extent` lines of `from` into the first of `to`, along `dim`.
fn fade(from: &Tensor<4>, to: Tensor<4>, extent: usize, dim: usize) -> Tensor<4> {
    let (from_size, size) = (from.dims()[dim], to.dims()[dim]);
    let extent = extent.min(from_size).min(size);
    if extent == 0 {
        return to;
    }
    let weight = ramp(extent, dim, &to.device(), to.dtype().into());
    let end = from.clone().narrow(dim, from_size - extent, extent);
    let start = to.clone().narrow(dim, 0, extent);
    let blended = end.clone() + (start - end) * weight;
    if extent == size {
        return blended;
    }
    Tensor::cat(vec![blended, to.narrow(dim, extent, size - extent)], dim)
}

/// 0, 1/n, 2/n, ... along `dim`.
fn ramp(extent: usize, dim: usize, device: &Device, dtype: FloatDType) -> Tensor<4> {
    let values: Vec<f32> = (0..extent).map(|i| i as f32 / extent as f32).collect();
    let mut shape = [1; 4];
    shape[dim] = extent;
    Tensor::<1>::from_data(TensorData::new(values, [extent]), device).cast(dtype).reshape(shape)
}
