//! The description of the interface: a document for programs, and a page to read it and try it out.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::App;

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";
/// Where it can be read and tried out.
const PAGE: &str = "/api/docs";
/// What that page may do: it styles its parts from within.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                                 connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What stands at the beginning of the document.
pub(super) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Encaustic")
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .description(Some(
            "Images from words. A wish goes into the queue as a *job* (`POST /api/v1/jobs`), a device works it off, and *events* \
             tell how it goes on. Errors are `{\"error\": {\"code\", \"message\", \"field\"}}`; times are milliseconds since 1970. \
             At the machine itself no key is needed unless the server is told so; elsewhere send `Authorization: Bearer enc_...`.",
        ))
        .build();
    let tag = |(name, about): (&str, &str)| TagBuilder::new().name(name).description(Some(about)).build();
    let tags = [
        ("jobs", "What is wanted, and what becomes of it."),
        ("queue", "The queue as a whole."),
        ("events", "What happens, as it happens, and what happened since."),
        ("images", "The pictures."),
        ("models", "The library of models."),
        ("devices", "What computes."),
        ("settings", "How the server is set."),
        ("access", "Keys and sessions."),
        ("server", "The server itself."),
        ("operations", "For whoever watches over it."),
        ("A1111", "For programs that were written for A1111's interface; errors have its form."),
        ("OpenAI", "For programs that were written for OpenAI's images; errors have its form."),
    ];
    let key = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags.map(tag)))
        .components(Some(ComponentsBuilder::new().security_scheme("key", key).build()))
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new("key", Vec::<String>::new())]))
        .build()
}

/// The document, and the page that shows it. Everything that the page needs is in this program.
pub(super) fn routes(document: OpenApi) -> axum::Router<App> {
    let config = Config::new([DOCUMENT]).validator_url("none").use_base_layout();
    SwaggerUi::new(PAGE).url(DOCUMENT, document).config(config).into()
}

/// Whether a path is of that page.
pub(super) fn is_page(path: &str) -> bool {
    path.strip_prefix(PAGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
