//! Every route of every interface, and who may ask for it.

use serde_json::{Value, json};

use crate::auth::{Locked, locked};
use crate::support::Trial;

/// A request, and its status for nobody, a reader, a writer, both in one (a maker), and an admin. Every operation of the OpenAPI
/// document is here.
fn routes() -> Vec<(&'static str, Value, [u16; 5])> {
    let nothing = json!(null);
    let ids = json!({"ids": [1]});
    let lists = [
        "GET /sdapi/v1/samplers",
        "GET /sdapi/v1/schedulers",
        "GET /sdapi/v1/sd-models",
        "GET /sdapi/v1/upscalers",
        "GET /sdapi/v1/latent-upscale-modes",
        "GET /sdapi/v1/sd-vae",
        "GET /sdapi/v1/sd-modules",
        "GET /sdapi/v1/loras",
        "GET /sdapi/v1/hypernetworks",
        "GET /sdapi/v1/face-restorers",
        "GET /sdapi/v1/realesrgan-models",
        "GET /sdapi/v1/prompt-styles",
        "GET /sdapi/v1/script-info",
        "GET /sdapi/v1/extensions",
        "GET /sdapi/v1/embeddings",
        "GET /sdapi/v1/scripts",
        "GET /sdapi/v1/cmd-flags",
        "GET /sdapi/v1/memory",
        "GET /sdapi/v1/progress",
        "POST /sdapi/v1/refresh-checkpoints",
        "POST /sdapi/v1/reload-checkpoint",
        "GET /v1/models",
        "GET /v1/models/demo",
    ];
    let absent = [
        "POST /sdapi/v1/img2img",
        "POST /sdapi/v1/extra-single-image",
        "POST /sdapi/v1/extra-batch-images",
        "POST /sdapi/v1/interrogate",
        "POST /v1/images/edits",
        "POST /v1/images/variations",
    ];
    let others = [
        // Anybody may.
        ("GET /", &nothing, [200; 5]),
        ("GET /nothing.js", &nothing, [404; 5]),
        ("GET /health", &nothing, [200; 5]),
        ("GET /ready", &nothing, [200; 5]),
        ("GET /api/v1/server", &nothing, [200; 5]),
        ("GET /api/openapi.json", &nothing, [200; 5]),
        ("GET /api/docs/", &nothing, [200; 5]),
        ("POST /api/v1/session", &json!({"key": "enc_wrong"}), [401; 5]),
        ("DELETE /api/v1/session", &nothing, [204; 5]),
        ("GET /v1/images/files/x.png?until=1&proof=x", &nothing, [403; 5]),
        // They read.
        ("GET /metrics", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/jobs", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/jobs/9", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/jobs/9/progress", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/jobs/9/preview", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/jobs/9/webhooks", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/jobs/9/events", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/events", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/ws", &nothing, [401, 101, 403, 101, 101]),
        ("GET /api/v1/queue", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/images", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/images/9", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/images/9/file", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/images/9/thumbnail", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/images/models", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/images/zip?ids=9", &nothing, [401, 404, 403, 404, 404]),
        ("POST /api/v1/images/zip", &ids, [401, 404, 403, 404, 404]),
        ("GET /api/v1/collections", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/collections/9", &nothing, [401, 404, 403, 404, 404]),
        ("GET /api/v1/models", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/models/pull", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/models/demo/card", &nothing, [401, 200, 403, 200, 200]),
        ("POST /api/v1/models/demo/count", &json!({"texts": ["a"]}), [401, 200, 403, 200, 200]),
        ("GET /api/v1/devices", &nothing, [401, 200, 403, 200, 200]),
        ("GET /api/v1/catalog", &nothing, [401, 200, 403, 200, 200]),
        ("GET /sdapi/v1/options", &nothing, [401, 200, 403, 200, 200]),
        // They answer what was sent.
        ("POST /sdapi/v1/png-info", &json!({"image": ""}), [401, 422, 422, 422, 422]),
        // They make something, or change what is somebody's.
        ("POST /api/v1/jobs", &json!({}), [401, 403, 202, 202, 202]),
        ("DELETE /api/v1/jobs/999", &nothing, [401, 403, 404, 404, 404]),
        ("POST /api/v1/jobs/999/retry", &json!({}), [401, 403, 404, 404, 404]),
        ("POST /api/v1/jobs/999/priority", &json!({"priority": -1}), [401, 403, 404, 404, 404]),
        ("POST /api/v1/jobs/999/place", &json!({"before": null}), [401, 403, 404, 404, 404]),
        ("POST /api/v1/jobs/999/webhooks/x/send", &json!({}), [401, 403, 404, 404, 404]),
        ("POST /api/v1/images", &json!({}), [401, 403, 415, 415, 415]),
        ("PATCH /api/v1/images/999", &json!({}), [401, 403, 404, 404, 404]),
        ("DELETE /api/v1/images/999", &nothing, [401, 403, 404, 404, 404]),
        ("POST /api/v1/images/delete", &json!({"ids": [999]}), [401, 403, 200, 200, 200]),
        ("POST /api/v1/collections", &json!({"name": ""}), [401, 403, 422, 422, 422]),
        ("PATCH /api/v1/collections/9", &json!({}), [401, 403, 404, 404, 404]),
        ("DELETE /api/v1/collections/9", &nothing, [401, 403, 404, 404, 404]),
        ("POST /api/v1/collections/9/images", &json!({}), [401, 403, 404, 404, 404]),
        ("POST /sdapi/v1/txt2img", &json!({"steps": 0}), [401, 403, 422, 422, 422]),
        ("POST /sdapi/v1/options", &json!({}), [401, 403, 200, 200, 200]),
        ("POST /sdapi/v1/interrupt", &json!({}), [401, 403, 200, 200, 200]),
        ("POST /sdapi/v1/skip", &json!({}), [401, 403, 200, 200, 200]),
        ("POST /v1/images/generations", &json!({}), [401, 403, 400, 400, 400]),
        // They change what is everybody's, or tell what is the owner's.
        ("POST /api/v1/queue", &json!({"is_paused": false}), [401, 403, 403, 403, 200]),
        ("GET /api/v1/settings", &nothing, [401, 403, 403, 403, 200]),
        ("PATCH /api/v1/settings", &json!({}), [401, 403, 403, 403, 200]),
        ("GET /api/v1/webhooks/secret", &nothing, [401, 403, 403, 403, 200]),
        ("GET /api/v1/keys", &nothing, [401, 403, 403, 403, 200]),
        ("POST /api/v1/keys", &json!({"name": ""}), [401, 403, 403, 403, 422]),
        ("DELETE /api/v1/keys/none", &nothing, [401, 403, 403, 403, 404]),
        ("POST /api/v1/models/pull", &json!({"source": ""}), [401, 403, 403, 403, 422]),
        ("DELETE /api/v1/models/pull?source=x", &nothing, [401, 403, 403, 403, 404]),
        ("DELETE /api/v1/models/none", &nothing, [401, 403, 403, 403, 404]),
        ("POST /api/v1/devices/none/unload", &nothing, [401, 403, 403, 403, 404]),
        ("POST /sdapi/v1/unload-checkpoint", &json!({}), [401, 403, 403, 403, 200]),
    ];
    let body = |line: &str| if line.starts_with("POST") { json!({}) } else { json!(null) };
    let lists = lists.into_iter().map(|line| (line, body(line), [401, 200, 200, 200, 200]));
    let absent = absent.into_iter().map(|line| (line, json!({}), [401, 403, 501, 501, 501]));
    lists.chain(absent).chain(others.into_iter().map(|(line, body, statuses)| (line, body.clone(), statuses))).collect()
}

#[test]
fn every_route_wants_its_scope() {
    let locked = locked();
    let Locked { admin, maker, reader, writer, .. } = &locked;
    let all = [("", "nobody"), (reader, "reader"), (writer, "writer"), (maker, "maker"), (admin, "admin")];
    for (line, body, statuses) in routes() {
        // What follows events has no end: what it begins with says enough.
        let is_endless = line.ends_with("/events") || line.ends_with("/ws");
        for ((key, name), status) in all.iter().zip(statuses) {
            if is_endless && status != 401 && status != 403 {
                assert_eq!(locked.begun(line, key), status, "{line} by {name}");
                continue;
            }
            let reply = locked.ask(line, key, &body);
            assert_eq!(reply.status, status, "{line} by {name}: {}", reply.body);
            if status == 401 {
                assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{}", reply.head);
            }
            if status == 403 && statuses[0] == 401 {
                assert!(reply.body.contains("lacks the scope `"), "{}", reply.body);
            }
        }
    }
}

#[test]
fn the_table_of_routes_is_whole() {
    /// How many parts of a path are the template's own words; nothing if it is none of its paths.
    fn fits(template: &str, path: &str) -> Option<usize> {
        let (template, path) = (template.split('/'), path.split('/'));
        if template.clone().count() != path.clone().count() {
            return None;
        }
        let is_any = |part: &str| part.starts_with('{');
        let mut pairs = template.clone().zip(path);
        pairs.all(|(own, part)| own == part || is_any(own)).then(|| template.filter(|part| !is_any(part)).count())
    }
    let document = Trial::start(|_| ()).get("/api/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let mut missing: Vec<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    for (line, ..) in routes() {
        let (method, path) = line.split('?').next().unwrap().split_once(' ').unwrap();
        // A name among names, as `pull` among models, is not another template's.
        let template = paths.keys().filter_map(|template| Some((fits(template, path)?, template))).max();
        missing.retain(|known| template.is_none_or(|(_, template)| *known != format!("{method} {template}")));
    }
    assert!(missing.is_empty(), "add these to `routes`, with who may: {missing:#?}");
}
