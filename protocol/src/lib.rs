//! The words that Encaustic's engine, launcher and interface share.
//!
//! A *request* ([`Request`]) says what picture is wanted. Each of its settings is declared once, in [`request`]: the
//! structure, its JSON, the limits that [`validate`] holds it to and the table [`PARAMS`], from which the command line
//! and every later interface derive their controls. A *command* goes to an engine and *events* come back ([`Command`],
//! [`Event`]), whether the engine sits in a thread, in a browser worker or behind a socket. What an engine can do, it
//! says in its [`Catalog`].
//!
//! Nothing here knows a tensor, a file or a socket: the crate depends on serde and a string metric.
//!
//! ```
//! use encaustic_protocol::{Catalog, Entry, Request, validate};
//!
//! let catalog = Catalog {
//!     samplers: vec![Entry::new("euler", "Euler"), Entry::new("dpmpp-2m", "DPM++ 2M")],
//!     ..Catalog::default()
//! };
//! let request = Request { prompt: "a lighthouse".into(), width: Some(100), sampler: Some("eulr".into()), ..Request::default() };
//! let faults = validate(&request, &catalog).unwrap_err();
//! assert_eq!(faults[0].to_string(), "sampler: \"eulr\" is not allowed; use one of euler, dpmpp-2m; did you mean \"euler\"?");
//! assert_eq!(faults[1].to_string(), "width: 100 is not allowed; use a multiple of 8 from 64 to 8192, or leave it to the model");
//! ```

pub mod catalog;
pub mod job;
pub mod model;
pub mod param;
pub mod request;
pub mod validate;

pub use catalog::{Catalog, Entry, nearest};
pub use job::{Change, Command, Event, Failure, FailureKind, ImageRef, JobId, Progress, Seq, Stage, Submit};
pub use model::Card;
pub use param::{Names, Param, Range, Value};
pub use request::{PARAMS, Request, Rng};
pub use validate::{Invalid, validate};
