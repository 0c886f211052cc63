//! The gallery: pages, searches, changes, collections.

use encaustic_protocol::{JobId, Request};
use encaustic_server::App;
use encaustic_server::events::News;
use encaustic_server::host::Pixels;
use encaustic_server::images::{Made, rows};
use encaustic_server::job::Client;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

pub(crate) fn app(trial: &Trial) -> &App {
    &trial.server.as_ref().unwrap().app
}

/// A picture of its own for each seed.
pub(crate) fn pixels(seed: u64, width: u32, height: u32) -> Pixels {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let rgb = (0..width * height * 3).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 60) as u8 * 16
    });
    Pixels { width, height, rgb: rgb.collect() }
}

/// What is known of a picture that a test enters.
pub(crate) struct Entered<'a> {
    pub(crate) seed: u64,
    pub(crate) prompt: &'a str,
    pub(crate) negative: &'a str,
    pub(crate) model: &'a str,
    pub(crate) client: &'a str,
    pub(crate) job: Option<u64>,
    pub(crate) at: i64,
}

impl Default for Entered<'_> {
    fn default() -> Self {
        Self { seed: 1, prompt: "a cat", negative: "", model: "demo", client: "local", job: Some(1), at: 1000 }
    }
}

/// Puts a picture into the store and the database; returns its number.
pub(crate) fn enter(app: &App, entered: &Entered<'_>) -> u64 {
    let settings = Request {
        prompt: entered.prompt.to_owned(),
        negative: entered.negative.to_owned(),
        seed: Some(entered.seed),
        ..Request::default()
    };
    let parameters = format!("{}\nSteps: 4, Sampler: Euler, Seed: {}", entered.prompt, entered.seed);
    let made = Made { seed: entered.seed, model: entered.model, settings: &settings, parameters: &parameters };
    let stored = app.images.put(&pixels(entered.seed, 16, 24), &made).unwrap();
    let client = Client(entered.client.to_owned());
    app.db
        .write(|change| {
            let id = rows::insert(change, entered.job.map(JobId), &client, &stored.image, entered.at)?;
            Ok::<_, encaustic_server::db::Failed<encaustic_server::db::DbError>>(id)
        })
        .unwrap()
}

fn patch(trial: &Trial, path: &str, body: &Value) -> Answer {
    trial.send("PATCH", path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn ids(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["items"].as_array().unwrap().iter().map(|image| image["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_job_s_pictures_are_in_the_gallery() {
    let trial = Trial::start(|_| ());
    let wish = json!({"request": {"prompt": "a fox", "seed": u64::MAX - 1, "batch": 3}});
    let job = trial.post("/api/v1/jobs", &wish).json()["id"].as_u64().unwrap();
    let done = trial.until("the job ends", || {
        let job = trial.get(&format!("/api/v1/jobs/{job}")).json();
        (job["state"] == "finished").then_some(job)
    });
    let list = trial.get("/api/v1/images?count=1").json();
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &list["total"], list.get("next")), (3, &json!(3), None));
    for (image, wanted) in items.iter().rev().zip(done["images"].as_array().unwrap()) {
        assert_eq!((&image["sha256"], &image["seed"], &image["job"]), (&wanted["name"], &wanted["seed"], &json!(job)));
        assert_eq!((&image["prompt"], &image["model"], &image["client"]), (&json!("a fox"), &json!("demo"), &json!("local")));
        let by_number = trial.get(&format!("/api/v1/images/{}", image["id"])).json();
        let by_hash = trial.get(&format!("/api/v1/images/{}", image["sha256"].as_str().unwrap())).json();
        assert_eq!(by_number, by_hash);
        assert_eq!((&by_number["settings"]["seed"], &by_number["settings"]["batch"]), (&image["seed"], &json!(1)));
        assert!(by_number["parameters"].as_str().unwrap().starts_with("a fox\nSteps: 4, "));
    }
    assert_eq!(items[0]["seed"], json!(0), "seeds go round");
    // The same picture again: another row, the same file.
    let again = trial.post("/api/v1/jobs", &wish).json()["id"].as_u64().unwrap();
    trial.until("the job ends", || (trial.get(&format!("/api/v1/jobs/{again}")).json()["state"] == "finished").then_some(()));
    let hashes = |list: &Value| list["items"].as_array().unwrap().iter().map(|image| image["sha256"].clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&trial.get("/api/v1/images?limit=3").json()), hashes(&list));
    assert_eq!(ids(&trial.get(&format!("/api/v1/images?job={again}"))).len(), 3);
}

#[test]
fn pages_hold_every_picture_once() {
    let trial = Trial::start(|_| ());
    let app = app(&trial);
    let mut all: Vec<u64> = (0..25)
        .map(|n| {
            let prompt = if n % 2 == 0 { "a red fox" } else { "a blue whale" };
            enter(app, &Entered { seed: n, prompt, ..Entered::default() })
        })
        .collect();
    all.reverse();
    let collection = trial.post("/api/v1/collections", &json!({"name": "some"})).json()["id"].as_u64().unwrap();
    let some: Vec<u64> = all.iter().copied().filter(|id| id % 3 == 0).collect();
    trial.post(&format!("/api/v1/collections/{collection}/images"), &json!({"add": some}));
    let foxes: Vec<u64> = all.iter().copied().filter(|id| id % 2 == 1).collect();
    let both: Vec<u64> = some.iter().copied().filter(|id| id % 2 == 1).collect();
    for (query, wanted) in [
        (String::new(), all),
        ("q=fox&".to_owned(), foxes),
        (format!("collection={collection}&"), some),
        (format!("q=fo&collection={collection}&"), both),
    ] {
        for limit in [1, 2, 7, 12, 25, 500] {
            let mut found = Vec::new();
            let mut next = String::new();
            loop {
                let page = trial.get(&format!("/api/v1/images?{query}limit={limit}{next}&count=true"));
                let of_page = ids(&page);
                assert!(of_page.len() <= limit && (found.is_empty() || !of_page.is_empty()));
                found.extend(of_page);
                let page = page.json();
                assert_eq!(page["total"], json!(wanted.len()));
                // A picture that comes in between shifts nothing.
                let Some(before) = page["next"].as_u64() else { break };
                next = format!("&before={before}");
            }
            assert_eq!(found, wanted, "{query} {limit}");
        }
    }
}

#[test]
fn a_search_finds_what_it_says() {
    let trial = Trial::start(|_| ());
    let app = app(&trial);
    let table = [
        ("a lighthouse at dusk", "blurry", "demo", "local", 1000),
        ("Ein Bär im Wald", "", "demo", "anna", 2000),
        ("a house, (light:1.2) \"quoted\" <lora:x>", "ugly", "sdxl/turbo", "local", 3000),
        ("NOT a NEAR miss OR hit", "", "demo", "local", 4000),
        ("灯台 の 写真", "", "demo", "local", 5000),
    ];
    let entered = table.map(|(prompt, negative, model, client, at)| {
        enter(app, &Entered { seed: at as u64, prompt, negative, model, client, at, ..Entered::default() })
    });
    let [lighthouse, bear, house, not, kanji] = entered;
    patch(&trial, &format!("/api/v1/images/{bear}"), &json!({"is_favourite": true, "title": "Bruno", "notes": "for the wall"}));
    for (query, wanted) in [
        ("q=lighthouse", vec![lighthouse]),
        ("q=light", vec![house, lighthouse]),
        ("q=light+", vec![house]),
        ("q=LIGHT+hou", vec![house]),
        ("q=dusk+lighthouse", vec![lighthouse]),
        ("q=bar", vec![bear]),
        ("q=B%C3%84R", vec![bear]),
        ("q=bruno", vec![bear]),
        ("q=wall", vec![bear]),
        ("q=blurry", vec![lighthouse]),
        ("q=turbo", vec![house]),
        ("q=3000", vec![house]),
        ("q=300+", vec![]),
        ("q=dusk+1000", vec![lighthouse]),
        ("q=dusk+2000", vec![]),
        ("q=NOT", vec![not]),
        ("q=OR", vec![not]),
        ("q=NEAR", vec![not]),
        ("q=%22quoted%22", vec![house]),
        ("q=lora%3Ax", vec![house]),
        ("q=prompt%3Alighthouse", vec![]),
        ("q=%E7%81%AF%E5%8F%B0", vec![kanji]),
        ("q=nothing", vec![]),
        ("q=%22", vec![]),
        ("q=*", vec![]),
        ("q=a%00b", vec![lighthouse]),
        ("q=", vec![kanji, not, house, bear, lighthouse]),
        ("model=sdxl%2Fturbo", vec![house]),
        ("client=anna", vec![bear]),
        ("favourite=true", vec![bear]),
        ("favourite=false", vec![kanji, not, house, lighthouse]),
        ("q=a&favourite=false&model=demo", vec![not, lighthouse]),
        ("since=2000&until=4000", vec![house, bear]),
        ("since=4001", vec![kanji]),
        ("until=1000", vec![]),
        ("q=house&since=3000", vec![house]),
        ("client=nobody", vec![]),
        ("collection=77", vec![]),
        ("before=0", vec![]),
        ("before=18446744073709551615", vec![kanji, not, house, bear, lighthouse]),
        ("job=1&before=3", vec![bear, lighthouse]),
    ] {
        assert_eq!(ids(&trial.get(&format!("/api/v1/images?{query}"))), wanted, "{query}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("before=-1", "before"),
        ("favourite=maybe", "favourite"),
        (&format!("q={}", "x".repeat(1001)), "q"),
    ] {
        let answer = trial.get(&format!("/api/v1/images?{query}"));
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (422, &json!(field)), "{query}");
    }
    assert_eq!(trial.get("/api/v1/images?favorite=1").status, 422);
    let models = trial.get("/api/v1/images/models").json();
    assert_eq!(models["items"], json!([{"model": "demo", "images": 4}, {"model": "sdxl/turbo", "images": 1}]));
}

#[test]
fn what_is_said_about_a_picture_can_be_changed() {
    let trial = Trial::start(|_| ());
    let mut news = app(&trial).hub.follow();
    let id = enter(app(&trial), &Entered::default());
    let path = format!("/api/v1/images/{id}");
    for (change, status) in [
        (json!({"is_favourite": true}), 200),
        (json!({"title": "Tom"}), 200),
        (json!({"notes": "<b>&"}), 200),
        (json!({}), 200),
        (json!({"title": "x".repeat(201)}), 422),
        (json!({"notes": "a\u{0}b"}), 422),
        (json!({"prompt": "another"}), 422),
        (json!({"is_favourite": "yes"}), 422),
    ] {
        assert_eq!(patch(&trial, &path, &change).status, status, "{change}");
    }
    let is = trial.get(&path).json();
    assert_eq!((&is["is_favourite"], &is["title"], &is["notes"]), (&json!(true), &json!("Tom"), &json!("<b>&")));
    assert_eq!(patch(&trial, "/api/v1/images/999", &json!({})).status, 404);
    // Words of a title that is gone are gone.
    patch(&trial, &path, &json!({"title": ""}));
    assert!(ids(&trial.get("/api/v1/images?q=tom")).is_empty());
    assert!(std::iter::from_fn(|| news.try_recv().ok()).any(|event| event.is_live && event.news == News::Images));
}

#[test]
fn what_is_deleted_is_gone() {
    let trial = Trial::start(|_| ());
    let app = app(&trial);
    let [one, twin, other] = [1, 1, 2].map(|seed| enter(app, &Entered { seed, ..Entered::default() }));
    let hash = trial.get(&format!("/api/v1/images/{one}")).json()["sha256"].as_str().unwrap().to_owned();
    let file = trial.data().join("images").join(&hash[..2]).join(format!("{}.png", &hash[2..]));
    let small = trial.data().join("thumbnails").join(&hash[..2]).join(format!("{}.jpg", &hash[2..]));
    let collection = trial.post("/api/v1/collections", &json!({"name": "x"})).json()["id"].as_u64().unwrap();
    trial.post(&format!("/api/v1/collections/{collection}/images"), &json!({"add": [one, twin, other]}));
    assert!(file.exists() && small.exists());

    assert_eq!(trial.delete(&format!("/api/v1/images/{one}")).status, 204);
    assert!(file.exists(), "another picture has this file");
    assert_eq!(trial.get(&format!("/api/v1/images/{hash}")).json()["id"], json!(twin));
    assert_eq!(trial.post("/api/v1/images/delete", &json!({"ids": [one, twin, 999]})).json(), json!({"deleted": 1}));
    assert!(!file.exists() && !small.exists());
    for path in [format!("/api/v1/images/{twin}"), format!("/api/v1/images/{hash}"), format!("/api/v1/images/{twin}/file")] {
        assert_eq!(trial.get(&path).status, 404);
    }
    assert_eq!(trial.delete(&format!("/api/v1/images/{one}")).status, 404);
    assert_eq!(ids(&trial.get("/api/v1/images?q=cat")), [other]);
    assert_eq!(trial.get(&format!("/api/v1/collections/{collection}")).json()["images"], json!(1));
    let many: Vec<u64> = (0..1001).collect();
    assert_eq!(trial.post("/api/v1/images/delete", &json!({"ids": many})).status, 422);
}

#[test]
fn collections_have_an_order_and_names_of_their_own() {
    let trial = Trial::start(|_| ());
    let images = [1, 2, 3].map(|seed| enter(app(&trial), &Entered { seed, ..Entered::default() }));
    let create = |name: &str| trial.post("/api/v1/collections", &json!({"name": name}));
    let [a, b, c] = ["a", " b ", "ç/../x"].map(|name| {
        let made = create(name);
        assert_eq!(made.status, 201);
        let id = made.json()["id"].as_u64().unwrap();
        assert_eq!(made.headers["location"], format!("/api/v1/collections/{id}"));
        id
    });
    for (name, status) in [("a", 409), ("b", 409), ("", 422), ("  ", 422), ("x\ny", 422), (&"x".repeat(201), 422)] {
        assert_eq!(create(name).status, status, "{name:?}");
    }
    let order = || -> Vec<u64> { ids(&trial.get("/api/v1/collections")) };
    assert_eq!(order(), [a, b, c]);
    for (id, before, wanted) in [(c, a, [c, a, b]), (c, 0, [a, b, c]), (a, c, [b, a, c]), (a, a, [b, c, a])] {
        assert_eq!(patch(&trial, &format!("/api/v1/collections/{id}"), &json!({"before": before})).status, 200);
        assert_eq!(order(), wanted, "{id} before {before}");
    }
    let path = format!("/api/v1/collections/{a}");
    assert_eq!(patch(&trial, &path, &json!({"before": 99})).status, 404);
    assert_eq!(patch(&trial, &path, &json!({"name": "b"})).status, 409);
    assert_eq!(patch(&trial, &path, &json!({"name": "a"})).status, 200);
    assert_eq!(patch(&trial, &path, &json!({"name": "A"})).json()["name"], "A");

    let change = |body: Value| trial.post(&format!("{path}/images"), &body);
    assert_eq!(change(json!({"add": [images[0], images[0], images[2], 999]})).json()["images"], json!(2));
    let is = change(json!({"add": [images[1]], "remove": [images[2], 999]})).json();
    assert_eq!((&is["images"], &is["cover"]), (&json!(2), &json!(images[1])));
    assert_eq!(ids(&trial.get(&format!("/api/v1/images?collection={a}"))), [images[1], images[0]]);
    assert_eq!(trial.get(&format!("/api/v1/images/{}", images[0])).json()["collections"], json!([a]));
    assert_eq!(change(json!({"add": (0..1001).collect::<Vec<u64>>()})).status, 422);
    assert_eq!(trial.delete(&path).status, 204);
    assert_eq!(trial.delete(&path).status, 404);
    assert_eq!(ids(&trial.get("/api/v1/images")).len(), 3, "the pictures stay");
    for (method, path) in [
        ("GET", "/api/v1/collections/99"),
        ("DELETE", "/api/v1/collections/18446744073709551615"),
        ("GET", "/api/v1/collections/x"),
    ] {
        assert_eq!(trial.send(method, path, &[], b"").status, 404, "{method} {path}");
    }
}
