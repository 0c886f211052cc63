//! Files of pictures over HTTP: formats, ranges, caches, names, archives.

use std::io::{Cursor, Read};

use encaustic_server::config::Setting;
use encaustic_server::images::format::Format;
use encaustic_server::images::{inspect, name::Pattern};
use serde_json::json;
use zip::ZipArchive;

use crate::images::{Entered, app, enter, pixels};
use crate::support::Trial;

fn header<'a>(answer: &'a crate::support::Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn every_format_says_how_the_picture_was_made() {
    for own in Format::ALL {
        let trial = Trial::start(|config| config.image_format = own);
        let id = enter(app(&trial), &Entered { seed: 5, prompt: "ein Bär, 灯台", ..Entered::default() });
        let plain = trial.get(&format!("/api/v1/images/{id}/file"));
        assert_eq!((plain.status, header(&plain, "content-type")), (200, own.mime()));
        for wanted in Format::ALL {
            let answer = trial.get(&format!("/api/v1/images/{id}/file?format={}", wanted.name()));
            assert_eq!((answer.status, header(&answer, "content-type")), (200, wanted.mime()), "{own:?} as {wanted:?}");
            assert_eq!(answer.body == plain.body, wanted == own);
            let told = inspect(&answer.body, &Default::default()).unwrap();
            assert_eq!((told.format, told.width, told.height), (wanted, 16, 24));
            let request = told.restored.unwrap().request;
            assert_eq!((request.prompt.as_str(), request.seed), ("ein Bär, 灯台", Some(5)), "{own:?} as {wanted:?}");
            if own != Format::Jpeg && wanted != Format::Jpeg {
                let picture = image::load_from_memory(&answer.body).unwrap().into_rgb8();
                assert_eq!(picture.into_raw(), pixels(5, 16, 24).rgb, "{own:?} as {wanted:?} is exact");
            }
        }
        assert_eq!(trial.get(&format!("/api/v1/images/{id}/file?format=gif")).status, 422);
        let small = trial.get(&format!("/api/v1/images/{id}/thumbnail"));
        assert_eq!((small.status, header(&small, "content-type")), (200, "image/jpeg"));
        assert_eq!(image::load_from_memory(&small.body).unwrap().width(), 16);
    }
}

#[test]
fn a_file_can_be_asked_for_in_parts_and_kept() {
    let trial = Trial::start(|_| ());
    let id = enter(app(&trial), &Entered::default());
    let path = format!("/api/v1/images/{id}/file");
    let whole = trial.get(&path);
    let length = whole.body.len();
    let tag = header(&whole, "etag").to_owned();
    assert_eq!(tag, format!("{:?}", trial.get(&format!("/api/v1/images/{id}")).json()["sha256"].as_str().unwrap()));
    assert_eq!(header(&whole, "content-length"), length.to_string());
    // A number means another picture in another database; a hash never does.
    let hash = tag.trim_matches('"');
    for (name, is_forever) in [(id.to_string(), false), (hash.to_owned(), true)] {
        for what in ["file", "file?format=jpeg", "thumbnail"] {
            let kept = trial.get(&format!("/api/v1/images/{name}/{what}"));
            let control = header(&kept, "cache-control");
            assert_eq!(
                (kept.status, control.contains("immutable"), control.contains("no-cache")),
                (200, is_forever, !is_forever)
            );
        }
    }
    for (range, part) in [
        ("bytes=0-9".to_owned(), 0..10),
        ("bytes=10-".to_owned(), 10..length),
        ("bytes=-5".to_owned(), length - 5..length),
        (format!("bytes=7-{}", length * 2), 7..length),
    ] {
        let answer = trial.send("GET", &path, &[("range", &range)], b"");
        assert_eq!((answer.status, &answer.body), (206, &whole.body[part.clone()].to_vec()), "{range}");
        assert_eq!(header(&answer, "content-range"), format!("bytes {}-{}/{length}", part.start, part.end - 1));
    }
    for (headers, status) in [
        (vec![("range", "bytes=100000-")], 416),
        (vec![("range", "bytes=5-1")], 200),
        (vec![("range", "bytes=0-1"), ("if-range", "\"old\"")], 200),
        (vec![("range", "bytes=0-1"), ("if-range", tag.as_str())], 206),
        (vec![("if-none-match", tag.as_str())], 304),
        (vec![("if-none-match", "\"x\", W/\"y\"")], 200),
        (vec![("if-none-match", "*")], 304),
    ] {
        assert_eq!(trial.send("GET", &path, &headers, b"").status, status, "{headers:?}");
    }
    let head = trial.send("HEAD", &path, &[], b"");
    assert_eq!((head.status, head.body.len(), header(&head, "content-length")), (200, 0, length.to_string().as_str()));
    let converted = trial.get(&format!("{path}?format=webp"));
    assert_ne!(header(&converted, "etag"), tag);
}

#[test]
fn a_download_has_a_name_for_people() {
    let pattern = Pattern::parse("{model}/{prompt}").unwrap();
    let trial = Trial::start(|config| config.pattern = pattern);
    let id = enter(app(&trial), &Entered { prompt: "a \"fox\"; filename=x\r\n<灯台>/..", ..Entered::default() });
    for (query, kind) in
        [("", "inline"), ("?download=1", "attachment"), ("?download=true&format=jpeg", "attachment"), ("?download=0", "inline")]
    {
        let answer = trial.get(&format!("/api/v1/images/{id}/file{query}"));
        let told = header(&answer, "content-disposition");
        assert!(told.starts_with(kind) && told.contains("fox") && told.contains("%E7%81%AF"), "{told}");
        assert_eq!(told.matches('"').count(), 2, "{told}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    }
    assert_eq!(trial.get(&format!("/api/v1/images/{id}/file?download=perhaps")).status, 422);
}

#[test]
fn an_archive_has_every_picture_under_a_name_of_its_own() {
    let trial = Trial::start(|config| config.pattern = Pattern::parse("{date}/{prompt}").unwrap());
    let app = app(&trial);
    let prompts = ["a fox", "A Fox", "../../etc/passwd", "missing.txt", "a fox", "CON"];
    let ids: Vec<u64> =
        prompts.iter().zip(1..).map(|(prompt, seed)| enter(app, &Entered { seed, prompt, ..Entered::default() })).collect();
    let collection = trial.post("/api/v1/collections", &json!({"name": "x"})).json()["id"].as_u64().unwrap();
    trial.post(&format!("/api/v1/collections/{collection}/images"), &json!({"add": ids[..3]}));
    let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    for (answer, seeds) in [
        (trial.get("/api/v1/images/zip"), vec![1, 2, 3, 4, 5, 6]),
        (trial.get(&format!("/api/v1/images/zip?ids={list}")), vec![1, 2, 3, 4, 5, 6]),
        (trial.get("/api/v1/images/zip?q=fox"), vec![1, 2, 5]),
        (trial.get(&format!("/api/v1/images/zip?collection={collection}")), vec![1, 2, 3]),
        (trial.post("/api/v1/images/zip", &json!({"ids": [ids[4], ids[0], 999]})), vec![5, 1]),
        (trial.post("/api/v1/images/zip", &json!({"q": "fox", "collection": collection})), vec![1, 2]),
    ] {
        assert_eq!((answer.status, header(&answer, "content-type")), (200, "application/zip"));
        assert!(header(&answer, "content-disposition").starts_with("attachment; filename=\"encaustic-"));
        let mut archive = ZipArchive::new(Cursor::new(answer.body)).unwrap();
        let mut found = Vec::new();
        let mut names = std::collections::HashSet::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let name = file.name().unwrap().into_owned();
            assert!(names.insert(name.to_lowercase()), "{name}");
            assert!(name.starts_with("1970-01-01/") && !name.contains("..") && name.split('/').count() == 2, "{name}");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            found.push(inspect(&bytes, &Default::default()).unwrap().restored.unwrap().request.seed.unwrap());
        }
        assert_eq!(found, seeds);
    }
    for (path, status) in [("?q=nothing", 404), ("?ids=1,x", 422), ("?ids=", 422), ("?ids=999", 404), ("?nothing=1", 422)] {
        assert_eq!(trial.get(&format!("/api/v1/images/zip{path}")).status, status, "{path}");
    }
    let many: Vec<u64> = (0..10_001).collect();
    assert_eq!(trial.post("/api/v1/images/zip", &json!({"ids": many})).status, 422);
    // A file that somebody took away does not spoil the rest.
    let hash = trial.get(&format!("/api/v1/images/{}", ids[0])).json()["sha256"].as_str().unwrap().to_owned();
    std::fs::remove_file(trial.data().join("images").join(&hash[..2]).join(format!("{}.png", &hash[2..]))).unwrap();
    assert_eq!(trial.get(&format!("/api/v1/images/{}/file", ids[0])).status, 404);
    let mut archive = ZipArchive::new(Cursor::new(trial.get("/api/v1/images/zip").body)).unwrap();
    assert_eq!(archive.len(), prompts.len());
    let mut told = String::new();
    archive.by_name("missing.txt").unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains(&format!("picture {}: ", ids[0])), "{told}");
}

#[test]
fn a_thumbnail_is_small_and_comes_back() {
    let trial = Trial::start(|_| ());
    let app = app(&trial);
    let settings = Default::default();
    let made = encaustic_server::images::Made { seed: 1, model: "", settings: &settings, parameters: "" };
    let client = encaustic_server::job::Client::local();
    for (width, height, small) in
        [(1000, 10, (320, 3)), (10, 1000, (3, 320)), (4000, 1, (320, 1)), (640, 640, (320, 320)), (1, 1, (1, 1))]
    {
        let stored = app.images.put(&pixels(1, width, height), &made).unwrap();
        let id: Result<u64, encaustic_server::db::DbError> =
            app.db.write(|change| Ok(encaustic_server::images::rows::insert(change, None, &client, &stored.image, 1)?));
        let path = format!("/api/v1/images/{}/thumbnail", id.unwrap());
        let first = trial.get(&path);
        let picture = image::load_from_memory(&first.body).unwrap();
        assert_eq!((picture.width(), picture.height()), small);
        assert_eq!(trial.send("GET", &path, &[("if-none-match", header(&first, "etag"))], b"").status, 304);
        std::fs::remove_dir_all(trial.data().join("thumbnails")).unwrap();
        assert_eq!(trial.get(&path).body, first.body, "it is made again");
    }
}

/// However many ask, few pictures are decoded at a time, and what is ready is sent meanwhile.
#[test]
fn decoding_waits_for_its_turn() {
    let trial = Trial::start(|_| ());
    let [small, gone] = [1, 2].map(|seed| enter(app(&trial), &Entered { seed, ..Entered::default() }));
    let removed = trial.data().join("thumbnails");
    let sha256 = trial.get(&format!("/api/v1/images/{gone}")).json()["sha256"].as_str().unwrap().to_owned();
    std::fs::remove_file(removed.join(&sha256[..2]).join(format!("{}.jpg", &sha256[2..]))).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let turns: Vec<_> = (0..2).map(|_| runtime.block_on(app(&trial).images.turn()).unwrap()).collect();
    std::thread::scope(|scope| {
        let waiting = [format!("/api/v1/images/{gone}/thumbnail"), format!("/api/v1/images/{small}/file?format=jpeg")];
        let waiting = waiting.map(|path| scope.spawn(|| trial.get(&{ path }).status));
        for path in [format!("/api/v1/images/{small}/thumbnail"), format!("/api/v1/images/{gone}/file")] {
            assert_eq!(trial.get(&path).status, 200, "{path}");
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(turns);
        assert_eq!(waiting.map(|waiting| waiting.join().unwrap()), [200, 200]);
    });
}
