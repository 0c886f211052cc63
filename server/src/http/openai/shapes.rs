//! What bodies look like, for the documentation: they are read field by field, so that what is wrong is told by its name.

use utoipa::ToSchema;

/// What is to be drawn.
#[derive(Debug, ToSchema)]
#[schema(as = OpenAiGenerations)]
pub struct Generations {
    /// What the picture shows.
    #[schema(max_length = 16384, example = "a lighthouse at dusk")]
    pub prompt: String,
    /// A model of `/v1/models`, or a name that the server's setting `openai_models` maps to one.
    pub model: Option<String>,
    /// How many pictures.
    #[schema(default = 1, minimum = 1, maximum = 10)]
    pub n: Option<u32>,
    /// `WIDTHxHEIGHT` in pixels, or `auto` for the model's own.
    #[schema(default = "auto", example = "512x512")]
    pub size: Option<String>,
    /// `low` takes half the model's own steps; `high`, `hd`, `xhigh` and `max` take half as many again.
    #[schema(default = "auto")]
    pub quality: Option<String>,
    /// `url` or `b64_json`; the first for names that begin with `dall-e-`.
    pub response_format: Option<String>,
    /// `png`, `jpeg` or `webp`.
    #[schema(default = "png")]
    pub output_format: Option<String>,
    /// How good JPEG pictures are.
    #[schema(minimum = 0, maximum = 100)]
    pub output_compression: Option<u32>,
    /// `auto` or `opaque`.
    #[schema(default = "auto")]
    pub background: Option<String>,
    /// Answer with events.
    #[schema(default = false)]
    pub stream: Option<bool>,
    /// How many looks on the way, with `stream`.
    #[schema(default = 0, minimum = 0, maximum = 3)]
    pub partial_images: Option<u32>,
    /// Accepted, without effect.
    pub moderation: Option<String>,
    /// Accepted, without effect.
    pub style: Option<String>,
    /// Accepted, without effect.
    pub user: Option<String>,
}

/// What is answered when something is wrong.
#[derive(Debug, ToSchema)]
#[schema(as = OpenAiProblem)]
pub struct Problem {
    /// What.
    pub error: ProblemParts,
}

/// What is wrong.
#[derive(Debug, ToSchema)]
#[schema(as = OpenAiProblemParts)]
pub struct ProblemParts {
    /// What is wrong and what to do.
    pub message: String,
    /// What kind of error.
    #[schema(example = "invalid_request_error")]
    pub r#type: String,
    /// The field that it is about.
    pub param: Option<String>,
    /// What is wrong, for programs.
    pub code: Option<String>,
}
