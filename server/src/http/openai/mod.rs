//! What OpenAI's interface for images offers, under `/v1/`: for clients that were written for it.
//!
//! | module | what it does |
//! |---|---|
//! | [`ask`] | what is asked for: fields, defaults, what is refused |
//! | [`images`] | `images/generations`: jobs, and what is answered |
//! | [`stream`] | the same as a stream of events, with looks on the way |
//! | [`link`] | addresses of pictures that work without a key for an hour |
//! | [`shapes`] | what bodies look like, for the documentation |
//! | [`models`] | models, and OpenAI's names for ours |

mod ask;
mod images;
mod link;
mod models;
pub mod shapes;
mod stream;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(images::generations))
        .routes(routes!(images::edits))
        .routes(routes!(images::variations))
        .routes(routes!(link::file))
        .routes(routes!(models::list))
        .routes(routes!(models::get))
}
