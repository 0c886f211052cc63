//! What bodies look like, for the documentation: they are read field by field, so that what is wrong is told by its name.

use utoipa::ToSchema;

/// What is answered when something is wrong.
#[derive(Debug, ToSchema)]
#[schema(as = A1111Problem)]
pub struct Problem {
    /// What kind of error.
    #[schema(example = "RequestValidationError")]
    pub error: String,
    /// What is wrong and what to do.
    #[schema(example = "steps: 0 is not allowed; use a whole number from 1 to 1000")]
    pub detail: String,
    /// The field that it is about, or nothing.
    #[schema(example = "steps")]
    pub body: String,
    /// The same as `detail`.
    pub errors: String,
}

/// A picture's file.
#[derive(Debug, ToSchema)]
#[schema(as = A1111Image)]
pub struct OneImage {
    /// In Base64, or as a `data:` URI.
    pub image: String,
}

/// What is to be drawn. Further fields that A1111 has are read too.
#[derive(Debug, ToSchema)]
#[schema(as = A1111Txt2Img)]
pub struct Txt2Img {
    /// What the picture shows.
    #[schema(default = "", max_length = 16384, example = "a lighthouse at dusk")]
    pub prompt: Option<String>,
    /// What it does not show.
    #[schema(default = "", max_length = 16384)]
    pub negative_prompt: Option<String>,
    /// Where the noise begins; -1 for anywhere.
    #[schema(default = -1, minimum = -1)]
    pub seed: Option<i64>,
    /// A sampler, as A1111 calls it; a schedule may stand behind it.
    #[schema(example = "DPM++ 2M")]
    pub sampler_name: Option<String>,
    /// The same, as it was called before.
    #[schema(default = "Euler")]
    pub sampler_index: Option<String>,
    /// A schedule.
    #[schema(example = "Karras")]
    pub scheduler: Option<String>,
    /// Pictures that are drawn at once.
    #[schema(default = 1, minimum = 1, maximum = 64)]
    pub batch_size: Option<u32>,
    /// Runs, one after another.
    #[schema(default = 1, minimum = 1, maximum = 64)]
    pub n_iter: Option<u32>,
    /// Steps.
    #[schema(default = 50, minimum = 1, maximum = 1000)]
    pub steps: Option<u32>,
    /// How hard to follow the prompt.
    #[schema(default = 7.0, minimum = 0.0, maximum = 100.0)]
    pub cfg_scale: Option<f64>,
    /// Width in pixels.
    #[schema(default = 512, minimum = 64, maximum = 8192, multiple_of = 8)]
    pub width: Option<u32>,
    /// Height in pixels.
    #[schema(default = 512, minimum = 64, maximum = 8192, multiple_of = 8)]
    pub height: Option<u32>,
    /// How much fresh noise each step adds, with samplers that add some.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub eta: Option<f64>,
    /// Options for this request: `sd_model_checkpoint`, `CLIP_stop_at_last_layers`, `randn_source`.
    #[schema(value_type = Option<Object>)]
    pub override_settings: Option<()>,
    /// Whether those options are for this request alone.
    #[schema(default = true)]
    pub override_settings_restore_afterwards: Option<bool>,
    /// Whether the pictures are sent with the answer. They are in the gallery in any case.
    #[schema(default = true)]
    pub send_images: Option<bool>,
    /// How a picture was made: counts for what the other fields leave open.
    pub infotext: Option<String>,
}
