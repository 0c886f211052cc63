//! How a command ends when it does not end well, and the exit status that tells a script which way.

use std::io;
use std::path::PathBuf;

use encaustic_engine::device::DeviceError;
use encaustic_engine::error::GenerateError;
use encaustic_picture::png_text::PngError;
use encaustic_protocol::{FailureKind, Invalid, PARAMS};
use serde_json::{Value, json};

use crate::files::WriteError;
use crate::pull::Fault;

/// A wish that cannot be fulfilled: which setting, what is wrong with it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the option without its dashes.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed or what to do; empty if the problem says it.
    pub hint: String,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), hint: String::new() }
    }

    /// Adds what is allowed or what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl From<Invalid> for Refusal {
    fn from(fault: Invalid) -> Self {
        Self::told(&fault.to_string())
    }
}

impl Refusal {
    /// The refusal that a message of the engine means: those that are about a setting begin with its id.
    fn told(message: &str) -> Self {
        let setting = message.split_once(": ").filter(|(field, _)| PARAMS.iter().any(|param| param.id == *field));
        match setting {
            Some((field, problem)) => Self::new(field.replace('_', "-"), problem),
            None => Self::new("request", message),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for Refusal {}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The wish was wrong; nothing was begun.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Ctrl-C.
    #[error("stopped by Ctrl-C {0}")]
    Interrupted(String),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A picture could not be read.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PngError,
        /// What could be read nevertheless, for machines; people have been told.
        report: Option<Value>,
    },
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(Fault),
    /// Files are not what they were.
    #[error("{text}")]
    Damaged {
        /// Which, and how that shows.
        text: String,
        /// What was found out, for machines.
        report: Value,
    },
    /// The device or the model did not do its part.
    #[error("{0}")]
    Engine(String),
    /// The system did not do its part.
    #[error("{0}")]
    System(String),
}

impl Failure {
    /// A failure to open a device. One that is absent, or cannot do what is asked, is a wrong wish.
    pub fn device(error: DeviceError) -> Self {
        match error {
            DeviceError::Absent { .. } | DeviceError::NotBuiltIn { .. } => Refusal::new("device", error.to_string()).into(),
            DeviceError::NoF16 { .. } => Refusal::new("dtype", error.to_string()).into(),
            DeviceError::Broken { .. } => Self::Engine(error.to_string()),
        }
    }

    /// A failure to hash a file; Ctrl-C is one.
    pub fn hashing(file: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::Interrupted => Self::Interrupted(format!("while {file} was hashed")),
            _ => Self::System(format!("{file}: {error}")),
        }
    }

    /// A failure to make pictures.
    pub fn generate(error: GenerateError) -> Self {
        match error.failure().kind {
            FailureKind::Invalid => Refusal::told(&error.to_string()).into(),
            _ => Self::Engine(error.to_string()),
        }
    }

    /// A failure to put a report together.
    pub fn report(error: serde_json::Error) -> Self {
        Self::System(format!("the report could not be written: {error}"))
    }

    /// The exit status: 2 for a wrong wish, 130 for Ctrl-C, 1 for the rest.
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused(_) => 2,
            Self::Interrupted(_) => crate::interrupt::STATUS,
            Self::Write(_) | Self::Fetch(_) | Self::Picture { .. } | Self::Damaged { .. } | Self::Engine(_) | Self::System(_) => {
                1
            }
        }
    }

    /// The failure for machines: `{"error": {"kind", "message"}}`, with `field` in a refusal, beside what was found out.
    pub fn to_json(&self) -> Value {
        let kind = match self {
            Self::Refused(_) => "refused",
            Self::Interrupted(_) => "interrupted",
            Self::Write(_) => "write",
            Self::Picture { .. } => "picture",
            Self::Fetch(_) => "fetch",
            Self::Damaged { .. } => "damaged",
            Self::Engine(_) => "engine",
            Self::System(_) => "system",
        };
        let mut error = json!({"kind": kind, "message": self.to_string()});
        if let (Self::Refused(refusal), Some(error)) = (self, error.as_object_mut()) {
            error.insert("field".to_owned(), refusal.field.clone().into());
        }
        let mut report = match self {
            Self::Picture { report: Some(report), .. } | Self::Damaged { report, .. } => report.clone(),
            _ => json!({}),
        };
        if let Some(report) = report.as_object_mut() {
            report.insert("error".to_owned(), error);
        }
        report
    }
}
