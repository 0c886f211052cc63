//! Checkpoints for tests: written with the `safetensors` crate, made in one file of the reference models, or only a
//! header, as large as that of a real one.

#![allow(dead_code, reason = "every test takes what it needs")]
#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

/// The folder of golden data in the repository.
pub fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens")
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    /// Zeros in f32.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes: vec![0; 4 * shape.iter().product::<usize>()] }
    }

    /// The numbers of an array in f32 or f16.
    pub fn values(&self) -> Vec<f32> {
        let wide = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        let half = |bytes: &[u8]| {
            let bits = u16::from_le_bytes(bytes.try_into().unwrap());
            let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
            let magnitude = if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) };
            if sign == 1 { -magnitude } else { magnitude }
        };
        match self.dtype {
            Dtype::F32 => self.bytes.chunks_exact(4).map(wide).collect(),
            Dtype::F16 => self.bytes.chunks_exact(2).map(half).collect(),
            other => panic!("{other:?} is not read here"),
        }
    }

    fn size(&self) -> usize {
        self.bytes.len() / self.shape.iter().product::<usize>()
    }

    /// The elements with rows and columns exchanged.
    fn transposed(&self) -> Self {
        let &[rows, columns] = self.shape.as_slice() else { panic!("{:?} is no matrix", self.shape) };
        let size = self.size();
        let at = |row: usize, column: usize| &self.bytes[(row * columns + column) * size..][..size];
        let turned = (0..columns).flat_map(|column| (0..rows).flat_map(move |row| at(row, column)));
        Self { dtype: self.dtype, shape: vec![columns, rows], bytes: turned.copied().collect() }
    }

    /// Several, one below the other.
    fn stacked(parts: &[Self]) -> Self {
        let mut shape = parts[0].shape.clone();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        Self { dtype: parts[0].dtype, shape, bytes: parts.iter().flat_map(|part| part.bytes.clone()).collect() }
    }

    fn reshaped(mut self, shape: &[usize]) -> Self {
        self.shape = shape.to_vec();
        self
    }
}

/// A file's tensors and metadata.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    pub tensors: BTreeMap<String, Array>,
    pub metadata: HashMap<String, String>,
}

impl Checkpoint {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Reads the bytes of a file.
    pub fn parse(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).unwrap_or_else(|error| panic!("{error}"));
        let array =
            |view: TensorView<'_>| Array { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
        let tensors = file.tensors().into_iter().map(|(name, view)| (name, array(view))).collect();
        Self { tensors, metadata: HashMap::new() }
    }

    /// A part of a reference model, as in `sd15` and `unet`.
    pub fn part(model: &str, part: &str) -> Self {
        let name = if part.starts_with("text_encoder") { "model" } else { "diffusion_pytorch_model" };
        Self::read(&goldens().join(format!("models/{model}/{part}/{name}.safetensors")))
    }

    /// A reference model in one file, in the original layout, as the list in the golden data says, with what real files
    /// have beside the networks.
    pub fn single_file(model: &str) -> Self {
        let mut parts: BTreeMap<&str, Self> = BTreeMap::new();
        let mut file = Self::default();
        for (tensor, recipe) in recipes(model) {
            let sources: Vec<Array> = recipe
                .sources
                .iter()
                .map(|source| {
                    let (part, name) = source.split_once(':').unwrap();
                    let part =
                        ["unet", "vae", "text_encoder", "text_encoder_2"].into_iter().find(|known| *known == part).unwrap();
                    parts.entry(part).or_insert_with(|| Self::part(model, part)).tensors[name].clone()
                })
                .collect();
            let array = match recipe.operation.as_str() {
                "copy" => sources[0].clone(),
                "transpose" => sources[0].transposed(),
                "concat0" => Array::stacked(&sources),
                "conv1x1" => {
                    let shape: Vec<usize> = sources[0].shape.iter().copied().chain([1, 1]).collect();
                    sources[0].clone().reshaped(&shape)
                }
                other => panic!("{other}"),
            };
            file.tensors.insert(tensor, array);
        }
        match model {
            "sd15" => {
                let ids = Array { dtype: Dtype::I64, shape: vec![1, 77], bytes: (0..77i64).flat_map(i64::to_le_bytes).collect() };
                let name = "cond_stage_model.transformer.text_model.embeddings.position_ids";
                file = file.with(name, ids).with("betas", Array::zeros(&[1000])).with("alphas_cumprod", Array::zeros(&[1000]));
            }
            // The last layer, which folders of diffusers lack.
            "sd2" => {
                let layer = "cond_stage_model.model.transformer.resblocks";
                let copies: Vec<_> = file.below(&format!("{layer}.2.")).collect();
                for (name, array) in copies {
                    file = file.with(&name.replace(&format!("{layer}.2."), &format!("{layer}.3.")), Array::zeros(&array.shape));
                }
                file = file.with("cond_stage_model.model.logit_scale", Array::zeros(&[]));
                file = file.with("cond_stage_model.model.text_projection", Array::zeros(&[32, 32]));
            }
            _ => file = file.with("conditioner.embedders.1.model.logit_scale", Array::zeros(&[])),
        }
        file
    }

    /// Zeros of these shapes.
    pub fn zeros(tensors: &[(&str, &[usize])]) -> Self {
        tensors.iter().fold(Self::default(), |file, (name, shape)| file.with(name, Array::zeros(shape)))
    }

    pub fn with(mut self, name: &str, array: Array) -> Self {
        self.tensors.insert(name.to_owned(), array);
        self
    }

    pub fn says(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Without the tensors whose names begin so.
    pub fn without(mut self, prefix: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|name, _| !name.starts_with(prefix));
        assert!(self.tensors.len() < before, "nothing begins with {prefix}");
        self
    }

    /// Only the tensors whose names begin so, without that.
    pub fn only(&self, prefix: &str) -> Self {
        let cut = |(name, array): (String, Array)| (name[prefix.len()..].to_owned(), array);
        Self { tensors: self.below(prefix).map(cut).collect(), metadata: HashMap::new() }
    }

    /// The tensors whose names begin so.
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, Array)> + 'a {
        let all = self.tensors.iter().filter(move |(name, _)| name.starts_with(prefix));
        all.map(|(name, array)| (name.clone(), array.clone()))
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, a)| (name, TensorView::new(a.dtype, a.shape.clone(), &a.bytes).unwrap()));
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        safetensors::serialize(views, metadata).unwrap()
    }
}

/// What a tensor of a single file is made of.
pub struct Recipe {
    /// `copy`, `conv1x1`, `transpose` or `concat0`.
    pub operation: String,
    /// Parameters of the folder, as in `unet:conv_in.bias`.
    pub sources: Vec<String>,
}

/// The golden list of a model: a tensor of the single file and what it is made of.
pub fn recipes(model: &str) -> BTreeMap<String, Recipe> {
    let text = std::fs::read(goldens().join("golden/single_file.json")).unwrap();
    let golden: Value = serde_json::from_slice(&text).unwrap();
    let recipe = |value: &Value| match value.as_array().map(Vec::as_slice) {
        None => Recipe { operation: "copy".to_owned(), sources: vec![value.as_str().unwrap().to_owned()] },
        Some([operation, sources @ ..]) => Recipe {
            operation: operation.as_str().unwrap().to_owned(),
            sources: sources.iter().map(|source| source.as_str().unwrap().to_owned()).collect(),
        },
        Some([]) => panic!("an empty recipe"),
    };
    golden["cases"][model]["tensors"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), recipe(value))).collect()
}

/// What cannot be told from the shapes of a reference model, because its heads and groups are smaller than its family's:
/// path and content of the configurations that say it.
pub fn peculiarities(model: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (part, fields) in [
        ("unet", &["attention_head_dim", "norm_num_groups", "sample_size"][..]),
        ("vae", &["norm_num_groups"]),
        ("text_encoder", &["num_attention_heads"]),
        ("text_encoder_2", &["num_attention_heads"]),
    ] {
        let path = format!("{part}/config.json");
        let Ok(text) = std::fs::read(goldens().join(format!("models/{model}/{path}"))) else { continue };
        let whole: Value = serde_json::from_slice(&text).unwrap();
        let told: serde_json::Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), whole[*field].clone())).collect();
        files.push((path, serde_json::to_vec(&json!(told)).unwrap()));
    }
    files
}
