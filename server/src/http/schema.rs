//! Schemas for types that know nothing of OpenAPI: those of the protocol, and of errors. Only their shape is used.

use std::borrow::Cow;

use encaustic_protocol::{Names, PARAMS, Param, Range, Value};
use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// What is answered when something is wrong.
#[derive(Debug, ToSchema)]
pub struct Problem {
    /// What is wrong.
    pub error: ProblemParts,
}

/// What is wrong.
#[derive(Debug, ToSchema)]
pub struct ProblemParts {
    /// For programs.
    #[schema(example = "invalid")]
    pub code: String,
    /// For people: what is wrong and what to do.
    #[schema(example = "steps: 0 is not allowed; use a whole number from 1 to 1000, or leave it to the model")]
    pub message: String,
    /// The field that it is about.
    #[schema(example = "request.steps")]
    pub field: Option<String>,
}

/// What picture is wanted: made from the table that requests are checked by.
#[derive(Debug)]
pub struct Request;

impl PartialSchema for Request {
    fn schema() -> RefOr<Schema> {
        let object = PARAMS.iter().fold(ObjectBuilder::new(), |object, param| object.property(param.id, setting(param)));
        object
            .description(Some("What picture is wanted. What is left open is the model's."))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            .examples([json!({"prompt": "a lighthouse at dusk", "steps": 20, "width": 512, "height": 512, "seed": 1})])
            .into()
    }
}

impl ToSchema for Request {
    fn name() -> Cow<'static, str> {
        "Request".into()
    }
}

fn setting(param: &Param) -> Schema {
    let default = (param.default)();
    let kind = match param.range {
        Range::Text { .. } | Range::Name(_) => Type::String,
        Range::Integer { .. } => Type::Integer,
        Range::Number { .. } => Type::Number,
    };
    let may_be_open = default == Value::Auto;
    let kinds = if may_be_open { SchemaType::from_iter([kind, Type::Null]) } else { SchemaType::new(kind) };
    let object = ObjectBuilder::new().schema_type(kinds).description(Some(param.help));
    let object = match default {
        Value::Auto => object,
        default => object.default(serde_json::to_value(default).ok()),
    };
    match param.range {
        Range::Text { max_bytes } => object.max_length(Some(max_bytes)),
        // Of samplers and schedules there are more spellings than a list could hold; the catalog has their names.
        Range::Name(Names::Samplers | Names::Schedules) => object,
        Range::Name(Names::Fixed(names)) => object.enum_values(Some(names.iter().copied())),
        Range::Integer { min, max: u64::MAX, .. } => {
            object.minimum(Some(min)).format(Some(SchemaFormat::Custom("uint64".to_owned())))
        }
        Range::Integer { min, max, multiple_of } => {
            let object = object.minimum(Some(min)).maximum(Some(max));
            if multiple_of > 1 { object.multiple_of(Some(multiple_of)) } else { object }
        }
        Range::Number { min, max } => {
            object.minimum(Some(min)).maximum(Some(max)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
        }
    }
    .into()
}

/// Why a job came to nothing.
#[derive(Debug, ToSchema)]
pub struct Failure {
    /// What kind of failure, for programs.
    pub kind: FailureKind,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// Kinds of failure.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request cannot be met.
    Invalid,
    /// The device could not do it.
    Device,
    /// A part of the model could not be read.
    Model,
    /// Too many jobs wait.
    Busy,
    /// The pictures were made and could not be kept.
    Storage,
}

/// A finished picture.
#[derive(Debug, ToSchema)]
pub struct ImageRef {
    /// The SHA-256 of its file.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// How far a job is.
#[derive(Debug, ToSchema)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of it is done.
    pub done: u32,
    /// How much there is.
    pub of: u32,
}

/// The parts of a job.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Stage {
    /// Reading the prompt.
    Text,
    /// Taking the noise away, step by step.
    Denoise,
    /// Turning latents into pictures.
    Decode,
}

/// News of a job.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Change {
    /// It waits.
    Queued {
        /// How many jobs come first.
        ahead: u32,
    },
    /// Work on it has begun.
    Started,
    /// It moves on.
    Progress(Progress),
    /// There is a rough look at its first picture.
    Preview(ImageRef),
    /// The pictures are made.
    Finished(Vec<ImageRef>),
    /// It came to nothing.
    Failed(Failure),
    /// It was stopped on request.
    Cancelled,
}

/// What a model is and wants.
#[derive(Debug, ToSchema)]
pub struct Card {
    /// The id of its family.
    pub family: String,
    /// What its maker calls it.
    pub title: Option<String>,
    /// Under which terms it may be used.
    pub license: Option<String>,
    /// What a request gets that asks for nothing.
    #[schema(value_type = Request)]
    pub defaults: Request,
    /// Width and height are multiples of this many pixels.
    pub multiple_of: u32,
    /// Sizes that suit it, as width and height.
    pub sizes: Vec<[u32; 2]>,
    /// How many tokens of a prompt are read together.
    pub chunk_tokens: u32,
}

/// What requests may choose by name.
#[derive(Debug, ToSchema)]
pub struct Catalog {
    /// Model families.
    pub families: Vec<Entry>,
    /// Samplers.
    pub samplers: Vec<Entry>,
    /// Schedules.
    pub schedules: Vec<Entry>,
}

/// A thing that has a name.
#[derive(Debug, ToSchema)]
pub struct Entry {
    /// The name by which requests mean it.
    #[schema(example = "euler")]
    pub id: String,
    /// The name that people read.
    #[schema(example = "Euler")]
    pub label: String,
    /// Other programs' names for it.
    pub aliases: Option<Vec<String>>,
    /// What it is good for.
    pub help: Option<String>,
}
