//! What A1111's web interface offers to programs, under `/sdapi/v1/`: for clients that were written for it.
//!
//! What it can do and we cannot is refused with a sentence, never ignored where it would change a picture. A request waits for
//! its jobs in the same queue as everybody's; whoever hangs up takes them back.
//!
//! | module | what it does |
//! |---|---|
//! | [`ask`] | what is asked for: fields, defaults, what is refused |
//! | [`draw`] | `txt2img`: jobs, and what is answered |
//! | [`runs`] | what runs for whom: `progress`, `interrupt`, `skip` |
//! | [`options`] | what a client has chosen for all of its requests |
//! | [`lists`] | samplers, models and what there is none of |
//! | [`names`] | models as A1111 calls them |
//! | [`shapes`] | what bodies look like, for the documentation |
//! | [`files`] | `png-info`, and what wants a picture to begin with |

mod ask;
mod draw;
mod files;
mod lists;
mod names;
mod options;
mod runs;
pub mod shapes;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;

pub use runs::Runs;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(draw::txt2img))
        .routes(routes!(runs::progress))
        .routes(routes!(runs::interrupt))
        .routes(routes!(runs::skip))
        .routes(routes!(options::get, options::post))
        .routes(routes!(lists::cmd_flags))
        .routes(routes!(lists::samplers))
        .routes(routes!(lists::schedulers))
        .routes(routes!(lists::upscalers))
        .routes(routes!(lists::sd_models))
        .routes(routes!(lists::latent_upscale_modes))
        .routes(routes!(lists::sd_vae))
        .routes(routes!(lists::sd_modules))
        .routes(routes!(lists::loras))
        .routes(routes!(lists::hypernetworks))
        .routes(routes!(lists::face_restorers))
        .routes(routes!(lists::realesrgan_models))
        .routes(routes!(lists::prompt_styles))
        .routes(routes!(lists::script_info))
        .routes(routes!(lists::extensions))
        .routes(routes!(lists::embeddings))
        .routes(routes!(lists::scripts))
        .routes(routes!(lists::memory))
        .routes(routes!(lists::refresh_checkpoints))
        .routes(routes!(lists::unload_checkpoint))
        .routes(routes!(lists::reload_checkpoint))
        .routes(routes!(files::img2img))
        .routes(routes!(files::extra_single_image))
        .routes(routes!(files::extra_batch_images))
        .routes(routes!(files::interrogate))
        .merge(files::large())
}
