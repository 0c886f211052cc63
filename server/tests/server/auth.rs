//! Keys: what they open, what they do not, and how they are shown.

use std::io::{Read, Write};

use encaustic_server::auth::{NewKey, Scope};
use encaustic_server::db::DbError;
use serde_json::{Value, json};

use crate::support::Trial;
use crate::support::raw::Reply;

/// A server that wants a key of everybody, and a key with each scope.
pub(crate) struct Locked {
    pub(crate) trial: Trial,
    pub(crate) admin: String,
    pub(crate) maker: String,
    pub(crate) reader: String,
    /// Generates, and may not read.
    pub(crate) writer: String,
}

pub(crate) fn locked() -> Locked {
    let folder = tempfile::tempdir().unwrap();
    let db = std::sync::Arc::new(encaustic_server::db::Db::open(&folder.path().join("encaustic.db")).unwrap());
    let keys = encaustic_server::auth::Keys::new(db, encaustic_server::time::system());
    let add = |name: &str, scopes: &[Scope]| {
        let new = NewKey { name: name.into(), scopes: scopes.to_vec(), per_minute: Some(0), per_day: None };
        keys.add(&new).unwrap().0
    };
    let admin = add("admin", &[Scope::Admin]);
    let maker = add("maker", &[Scope::Generate, Scope::Read]);
    let reader = add("reader", &[Scope::Read]);
    let writer = add("writer", &[Scope::Generate]);
    drop(keys);
    let trial = Trial::over(folder, crate::support::Easel::default(), |config| config.require_key = true);
    Locked { trial, admin, maker, reader, writer }
}

impl Locked {
    pub(crate) fn ask(&self, line: &str, key: &str, body: &Value) -> Reply {
        let authorization = format!("Bearer {key}");
        let mut headers = vec![("Content-Type", "application/json")];
        if !key.is_empty() {
            headers.push(("Authorization", &authorization));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.trial.raw(line, &headers, &body)
    }

    /// The status of what may have no end.
    pub(crate) fn begun(&self, line: &str, key: &str) -> u16 {
        let mut stream = self.trial.connect();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let upgrade = if line.ends_with("/ws") { upgrade } else { "Accept: */*" };
        let host = self.trial.address();
        write!(stream, "{line} HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\nAuthorization: Bearer {key}\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head)[9..].parse().unwrap()
    }
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.body))
}

#[test]
fn keys_open_the_interfaces_of_others_too() {
    let locked = locked();
    let revoked = json_of(&locked.ask("POST /api/v1/keys", &locked.admin, &json!({"name": "old", "scopes": ["admin"]})));
    let revoked = revoked["key"].as_str().unwrap().to_owned();
    assert_eq!(locked.ask("DELETE /api/v1/keys/old", &locked.admin, &Value::Null).status, 204);
    let wrong = format!("{}x", &locked.admin[..locked.admin.len() - 1]);
    let keys = [
        ("reader", &locked.reader),
        ("writer", &locked.writer),
        ("maker", &locked.maker),
        ("admin", &locked.admin),
        ("wrong", &wrong),
        ("old", &revoked),
    ];
    let small = json!({"prompt": "x", "steps": 1, "width": 64, "height": 64});
    let picture = json!({"prompt": "x", "size": "64x64"});
    // By whom: the four scopes, a wrong key and a revoked one.
    for (line, body, statuses) in [
        ("GET /sdapi/v1/samplers", Value::Null, [200, 200, 200, 200, 401, 401]),
        ("GET /sdapi/v1/options", Value::Null, [200, 403, 200, 200, 401, 401]),
        ("POST /sdapi/v1/txt2img", small, [403, 200, 200, 200, 401, 401]),
        ("POST /sdapi/v1/unload-checkpoint", json!({}), [403, 403, 403, 200, 401, 401]),
        ("GET /v1/models", Value::Null, [200, 200, 200, 200, 401, 401]),
        ("POST /v1/images/generations", picture, [403, 200, 200, 200, 401, 401]),
    ] {
        let ask = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = [("Content-Type", "application/json")].iter().chain(headers).copied().collect();
            let body = if body.is_null() { String::new() } else { body.to_string() };
            locked.trial.raw(line, &headers, &body)
        };
        for ((name, key), status) in keys.into_iter().zip(statuses) {
            for (way, header, value) in [
                ("bearer", "Authorization", format!("Bearer {key}")),
                // As A1111's clients do with `--api-auth NAME:KEY`.
                ("basic", "Authorization", basic(&format!("{name}:{key}"))),
                ("basic without a name", "Authorization", basic(&format!(":{key}"))),
                ("header", "X-Api-Key", key.clone()),
            ] {
                let reply = ask(&[(header, &value)]);
                assert_eq!(reply.status, status, "{line} by {name}, {way}: {}", reply.body);
                is_said(line, &reply);
            }
            assert_eq!(ask(&[("Authorization", &basic(&format!("another:{key}")))]).status, 401, "{line} by {name}");
        }
        for headers in [&[][..], &[("Authorization", "Bearer ")], &[("Authorization", "Basic !")], &[("X-Api-Key", "")]] {
            let reply = ask(headers);
            assert_eq!(reply.status, 401, "{line}: {headers:?}: {}", reply.body);
            is_said(line, &reply);
        }
    }
}

fn basic(text: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

/// Whether a refusal has the form that clients of its interface read.
#[track_caller]
fn is_said(line: &str, reply: &Reply) {
    let told = match reply.status {
        401 => ("an API key is needed", "is not valid", "authentication_error"),
        403 => ("lacks the scope", "lacks the scope", "permission_error"),
        _ => return,
    };
    let body = json_of(reply);
    let message = if line.contains("/sdapi/") {
        body["detail"].as_str()
    } else {
        assert_eq!(body["error"]["type"], told.2, "{body}");
        body["error"]["message"].as_str()
    };
    assert!(message.is_some_and(|message| message.contains(told.0) || message.contains(told.1)), "{line}: {body}");
    assert_eq!(reply.header("www-authenticate").is_some(), reply.status == 401, "{}", reply.head);
}

#[test]
fn a_key_is_shown_in_several_ways() {
    let locked = locked();
    let key = &locked.reader;
    let wrong = format!("{}x", &key[..key.len() - 1]);
    for (name, value, status) in [
        ("Authorization", format!("Bearer {key}"), 200),
        ("Authorization", format!("bearer {key}"), 200),
        ("X-Api-Key", key.clone(), 200),
        ("Authorization", basic(&format!("reader:{key}")), 200),
        ("Authorization", basic(&format!(":{key}")), 200),
        ("Authorization", basic(&format!("maker:{key}")), 401),
        ("Authorization", basic("reader:"), 401),
        ("Authorization", format!("Bearer {wrong}"), 401),
        ("Authorization", "Bearer ".into(), 401),
        ("Authorization", key.clone(), 401),
        ("X-Api-Key", String::new(), 401),
        ("Cookie", "encaustic_session=nonsense".into(), 401),
    ] {
        assert_eq!(locked.trial.raw("GET /api/v1/queue", &[(name, &value)], "").status, status, "{name}: {value}");
    }
}

#[test]
fn a_browser_signs_in_and_out() {
    let locked = locked();
    assert_eq!(locked.ask("POST /api/v1/session", "", &json!({"key": "enc_wrong"})).status, 401);
    let begun = locked.ask("POST /api/v1/session", "", &json!({"key": locked.maker}));
    assert_eq!((begun.status, json_of(&begun)["client"].as_str()), (200, Some("maker")));
    let cookie = begun.header("set-cookie").unwrap();
    assert!(["HttpOnly", "SameSite=Strict", "Path=/"].iter().all(|part| cookie.contains(part)), "{cookie}");
    assert!(!cookie.contains("Secure") && !cookie.contains(&locked.maker), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let with = |line: &str| locked.trial.raw(line, &[("Cookie", cookie)], "").status;
    assert_eq!(with("GET /api/v1/queue"), 200);
    assert_eq!(with("GET /api/v1/keys"), 403);
    assert_eq!(with("DELETE /api/v1/session"), 204);
    assert_eq!(with("GET /api/v1/queue"), 401);
    let secure = [("Content-Type", "application/json"), ("X-Forwarded-Proto", "https")];
    let begun = locked.trial.raw("POST /api/v1/session", &secure, &json!({"key": locked.maker}).to_string());
    assert!(begun.header("set-cookie").unwrap().contains("; Secure"));
}

#[test]
fn keys_are_made_and_revoked() {
    let locked = locked();
    let admin = &locked.admin;
    let add = |body: Value| locked.ask("POST /api/v1/keys", admin, &body);
    for (body, status) in [
        (json!({"name": ""}), 422),
        (json!({"name": "local"}), 422),
        (json!({"name": "a b"}), 422),
        (json!({"name": "x".repeat(65)}), 422),
        (json!({"name": "x", "scopes": []}), 422),
        (json!({"name": "x", "scopes": ["all"]}), 422),
        (json!({"name": "admin"}), 409),
    ] {
        assert_eq!(add(body.clone()).status, status, "{body}");
    }
    let made = add(json!({"name": "phone"}));
    assert_eq!((made.status, json_of(&made)["scopes"].clone()), (201, json!(["read", "generate"])));
    let key = json_of(&made)["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("enc_") && key.len() >= 47, "{key}");
    assert_eq!(locked.ask("GET /api/v1/queue", &key, &Value::Null).status, 200);
    let listed = locked.ask("GET /api/v1/keys", admin, &Value::Null).body;
    assert!(listed.contains("\"phone\"") && !listed.contains(&key), "{listed}");
    let file = std::fs::read(locked.trial.data().join("encaustic.db")).unwrap();
    assert!(!file.windows(key.len()).any(|part| part == key.as_bytes()), "the key is in the database");
    assert_eq!(locked.ask("DELETE /api/v1/keys/phone", admin, &Value::Null).status, 204);
    assert_eq!(locked.ask("DELETE /api/v1/keys/phone", admin, &Value::Null).status, 404);
    assert_eq!(locked.ask("GET /api/v1/queue", &key, &Value::Null).status, 401);
    assert_eq!(add(json!({"name": "phone"})).status, 201);
}

#[test]
fn rates_and_quotas_are_kept() {
    let locked = locked();
    let add = |body: Value| json_of(&locked.ask("POST /api/v1/keys", &locked.admin, &body))["key"].as_str().unwrap().to_owned();
    let hasty = add(json!({"name": "hasty", "per_minute": 5}));
    let statuses: Vec<u16> = (0..7).map(|_| locked.ask("GET /api/v1/queue", &hasty, &Value::Null).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    let refused = locked.ask("GET /api/v1/queue", &hasty, &Value::Null);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && refused.body.contains("\"rate\""), "{wait}: {}", refused.body);

    let modest = add(json!({"name": "modest", "per_day": 5}));
    let batch = |n: u32| locked.ask("POST /api/v1/jobs", &modest, &json!({"request": {"batch": n}}));
    assert_eq!([batch(3).status, batch(3).status, batch(2).status, batch(1).status], [202, 429, 202, 429]);
    let refused = batch(1);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait) && refused.body.contains("\"quota\""), "{wait}: {}", refused.body);
}

#[test]
fn nobody_is_turned_away_for_what_cannot_be_noted() {
    let locked = locked();
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON keys BEGIN SELECT RAISE(ABORT, 'no room'); END";
    let db = &locked.trial.server.as_ref().unwrap().app.db;
    db.write::<_, DbError>(|change| Ok(change.execute_batch(trigger)?)).unwrap();
    assert_eq!(locked.ask("GET /api/v1/queue", &locked.reader, &Value::Null).status, 200);
    assert_eq!(locked.ask("POST /api/v1/jobs", &locked.maker, &json!({})).status, 202);
}

#[test]
fn what_is_anothers_stays_his() {
    let locked = locked();
    let Locked { admin, maker, .. } = &locked;
    locked.ask("POST /api/v1/queue", admin, &json!({"is_paused": true}));
    let made = locked.ask("POST /api/v1/keys", admin, &json!({"name": "other"}));
    let other = json_of(&made)["key"].as_str().unwrap().to_owned();
    let job = json_of(&locked.ask("POST /api/v1/jobs", maker, &json!({})))["id"].as_u64().unwrap();
    let line = format!("DELETE /api/v1/jobs/{job}");
    let refused = locked.ask(&line, &other, &Value::Null);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("maker"), "{}", refused.body);
    let raise = format!("POST /api/v1/jobs/{job}/priority");
    assert_eq!(locked.ask(&raise, &other, &json!({"priority": 1})).status, 403);
    assert_eq!(locked.ask(&raise, admin, &json!({"priority": 1})).status, 200);
    assert_eq!(locked.ask(&line, maker, &Value::Null).status, 202);
}

#[test]
fn at_this_machine_no_key_is_needed() {
    let trial = Trial::start(|_| ());
    let queue = |headers: &[(&str, &str)]| trial.raw("GET /api/v1/queue", headers, "").status;
    assert_eq!(queue(&[]), 200);
    // Clients of other programs have to send something.
    assert_eq!(queue(&[("Authorization", "Bearer sk-none")]), 200);
    // Through a proxy it may be anybody.
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
        assert_eq!(queue(&[(header, "192.0.2.1")]), 401, "{header}");
    }
    assert_eq!(trial.post("/api/v1/keys", &json!({"name": "x"})).status, 201);
    assert_eq!((queue(&[]), queue(&[("Authorization", "Bearer sk-none")])), (200, 401));
}

#[test]
fn nobody_comes_before_others_by_himself() {
    let locked = locked();
    let Locked { admin, maker, .. } = &locked;
    let other = json_of(&locked.ask("POST /api/v1/keys", admin, &json!({"name": "other"})))["key"].as_str().unwrap().to_owned();
    locked.ask("POST /api/v1/queue", admin, &json!({"is_paused": true}));
    let submit = |key: &str, priority: i32| locked.ask("POST /api/v1/jobs", key, &json!({"priority": priority}));
    let id = |reply: &Reply| json_of(reply)["id"].as_u64().unwrap();
    let refused = submit(maker, 1);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("\"priority\"") && refused.body.contains("use 0 or less"), "{}", refused.body);
    assert_eq!([submit(admin, 100).status, submit(maker, -1).status], [202, 202]);
    let [mine, next, theirs] = [maker, maker, &other].map(|key| id(&submit(key, 0)));
    let change =
        |key: &str, job: u64, what: &str, body: Value| locked.ask(&format!("POST /api/v1/jobs/{job}/{what}"), key, &body).status;
    for (key, job, what, body, status) in [
        (maker, mine, "priority", json!({"priority": 1}), 403),
        (maker, mine, "priority", json!({"priority": 0}), 200),
        (maker, next, "place", json!({"before": theirs}), 403),
        (maker, next, "place", json!({"before": mine}), 200),
        (maker, next, "place", json!({}), 200),
        (admin, next, "place", json!({"before": theirs}), 200),
        (admin, mine, "priority", json!({"priority": 9}), 200),
    ] {
        assert_eq!(change(key, job, what, body.clone()), status, "{what} of {job}: {body}");
    }
    // What the owner has raised stays where it is, and is not taken for more.
    assert_eq!(locked.ask(&format!("DELETE /api/v1/jobs/{mine}"), maker, &Value::Null).status, 202);
    assert_eq!([change(maker, mine, "retry", json!({})), change(admin, mine, "retry", json!({}))], [403, 202]);
}

#[test]
fn where_files_are_is_told_to_the_owner_alone() {
    let locked = locked();
    let Locked { admin, maker, reader, .. } = &locked;
    let path = |key: &str| json_of(&locked.ask("GET /api/v1/models", key, &Value::Null))["items"][0]["path"].clone();
    assert_eq!([path(reader), path(maker), path(admin)], [Value::Null, Value::Null, json!("/a/secret/folder/demo")]);
    let told = json_of(&locked.ask("POST /api/v1/jobs", maker, &json!({})))["id"].as_u64().unwrap();
    let line = format!("GET /api/v1/jobs/{told}");
    let job = locked.trial.until("the job to end", || {
        let job = json_of(&locked.ask(&line, maker, &Value::Null));
        (job["state"] == "finished").then_some(job)
    });
    let image = job["images"][0]["name"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(locked.trial.data().join("images")).unwrap();
    let folder = locked.trial.data().to_str().unwrap().to_owned();
    for line in [format!("GET /api/v1/images/{image}/file"), format!("GET /api/v1/images/{image}/file?format=jpeg")] {
        let refused = locked.ask(&line, reader, &Value::Null);
        assert_eq!(refused.status, 404, "{line}: {}", refused.body);
        assert!(!refused.body.contains(&folder), "{}", refused.body);
    }
    let broken = rusqlite::Connection::open(locked.trial.data().join("encaustic.db")).unwrap();
    broken.execute_batch("ALTER TABLE events RENAME TO away").unwrap();
    let refused = locked.ask("POST /api/v1/jobs", maker, &json!({}));
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert!(!refused.body.contains(&folder) && refused.body.contains("its log says how"), "{}", refused.body);
    broken.execute_batch("ALTER TABLE away RENAME TO events").unwrap();
}

#[test]
fn what_a_page_asks_for_by_itself_is_not_counted() {
    let locked = locked();
    let made = locked.ask("POST /api/v1/keys", &locked.admin, &json!({"name": "page", "per_minute": 2}));
    let key = json_of(&made)["key"].as_str().unwrap().to_owned();
    let ask = |line: &str| locked.ask(line, &key, &Value::Null);
    let lines = ["GET /api/v1/images/1/thumbnail", "GET /api/v1/images/1/file", "GET /", "GET /api/v1/server", "GET /health"];
    for line in lines.iter().cycle().take(50) {
        assert_ne!(ask(line).status, 429, "{line}");
    }
    assert_eq!([0; 3].map(|_| ask("GET /api/v1/queue").status), [200, 200, 429]);
    // Who has asked too often is still known.
    assert_eq!(json_of(&ask("GET /api/v1/server"))["client"], "page");
}

#[test]
fn a_second_submission_costs_nothing() {
    let locked = locked();
    let made = locked.ask("POST /api/v1/keys", &locked.admin, &json!({"name": "modest", "per_day": 1}));
    let authorization = format!("Bearer {}", json_of(&made)["key"].as_str().unwrap());
    let post = |key: &str, body: &str| {
        let headers = [("Content-Type", "application/json"), ("Authorization", &authorization), ("Idempotency-Key", key)];
        locked.trial.raw("POST /api/v1/jobs", &headers, body)
    };
    let (first, again) = (post("one", "{}"), post("one", "{}"));
    assert_eq!((first.status, again.status), (202, 202), "{}", again.body);
    assert_eq!(json_of(&first)["id"], json_of(&again)["id"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(post("two", "{}").status, 429);
    assert_eq!(post("one", "{\"priority\": -1}").status, 422, "another wish under the same key");
}
