//! U4: nothing that names something leads out of where it belongs.

use serde_json::json;

use crate::images::{Entered, app, enter};
use crate::support::Trial;

/// What a name may hold that leads elsewhere, somewhere.
const ESCAPES: &[&str] = &[
    "..",
    ".",
    "../",
    "../..",
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%2F..%2Fsecret.txt",
    "%2e%2e",
    "%2e%2e/",
    "%2e%2e%2f",
    "%2e%2e%2fsecret.txt",
    "%2E%2E%2Fsecret.txt",
    "%252e%252e%252fsecret.txt",
    "%25252e%25252e%25252fsecret.txt",
    ".%2e/secret.txt",
    "%2e./secret.txt",
    "..%5c..%5csecret.txt",
    "..%5C..%5Csecret.txt",
    "..%255c..%255csecret.txt",
    "..%c0%afsecret.txt",
    "..%c1%9csecret.txt",
    "..%e0%80%afsecret.txt",
    "%c0%ae%c0%ae%c0%afsecret.txt",
    "%uff0e%uff0e%u2215secret.txt",
    "..%ef%bc%8fsecret.txt",
    "%ef%bc%8e%ef%bc%8e%ef%bc%8fsecret.txt",
    "....//secret.txt",
    "....%2f%2fsecret.txt",
    "..../secret.txt",
    "..;/secret.txt",
    "..%3b/secret.txt",
    "..%00/secret.txt",
    "..%0d/secret.txt",
    "..%0a/secret.txt",
    "1%00",
    "1%00.png",
    "1/../../../secret.txt",
    "1%2f..%2f..%2fsecret.txt",
    "1/..%2f..%2fsecret.txt",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "//etc/passwd",
    "///etc/passwd",
    "%2f%2f%2fetc%2fpasswd",
    "%5cetc%5cpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "file:///etc/passwd",
    "C:%5cWindows%5cwin.ini",
    "C:/Windows/win.ini",
    "%5c%5cserver%5cshare%5cx",
    "%5c%5c%3f%5cC:%5cx",
    "CON",
    "NUL.png",
    "~",
    "~root",
    "%7e%2f.ssh%2fid_rsa",
    "$HOME",
    "%24%7bHOME%7d",
    "-1",
    "+1",
    "0x1",
    "1e0",
    "%201",
    "١",
    "images-evil",
    "..%2fimages-evil%2fsecret.txt",
    "encaustic.db",
    "..%2fencaustic.db",
    "%F0%9F%96%BC",
];

#[test]
fn no_name_leads_out_of_the_store() {
    let trial = Trial::start(|_| ());
    let id = enter(app(&trial), &Entered::default());
    assert_eq!(id, 1);
    // What is to be found by none of them.
    let evil = trial.data().join("images-evil");
    std::fs::create_dir(&evil).unwrap();
    for place in [trial.data().join("secret.txt"), evil.join("secret.txt"), trial.data().join("images/secret.txt")] {
        std::fs::write(place, "a secret").unwrap();
    }
    assert!(ESCAPES.len() >= 60);
    for name in ESCAPES {
        for path in [
            format!("/api/v1/images/{name}"),
            format!("/api/v1/images/{name}/file"),
            format!("/api/v1/images/{name}/thumbnail"),
            format!("/api/v1/collections/{name}"),
            format!("/api/v1/images/zip?ids={name}"),
            format!("/api/v1/images/{id}/file?format={name}"),
        ] {
            for method in ["GET", "DELETE"] {
                // As it stands: a client that tidies it up would test itself.
                let (status, body) = raw(&trial, method, &path);
                assert!((400..500).contains(&status), "{method} {path}: {status}");
                assert!(
                    !body.contains("secret\n") && !body.contains("a secret") && !body.contains("root:"),
                    "{method} {path}: {body}"
                );
            }
        }
        // As a value within JSON: a number, a name, or nothing.
        assert_eq!(trial.post("/api/v1/images/delete", &json!({"ids": [name]})).status, 422);
    }
    assert_eq!(trial.get("/api/v1/images/1/file").status, 200, "the picture is still there");
    assert!(trial.data().join("secret.txt").exists() && trial.data().join("encaustic.db").exists());
}

/// A request whose path is sent as it stands.
fn raw(trial: &Trial, method: &str, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let address = trial.server.as_ref().unwrap().address();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;

    let trial = Trial::start(|_| ());
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret.txt");
    std::fs::write(&secret, "a secret").unwrap();
    for (n, links_folder) in [false, true].into_iter().enumerate() {
        let id = enter(app(&trial), &Entered { seed: n as u64, ..Entered::default() });
        let hash = trial.get(&format!("/api/v1/images/{id}")).json()["sha256"].as_str().unwrap().to_owned();
        for (folder, ending) in [("images", "png"), ("thumbnails", "jpg")] {
            let folder = trial.data().join(folder).join(&hash[..2]);
            let file = folder.join(format!("{}.{ending}", &hash[2..]));
            std::fs::remove_file(&file).unwrap();
            if links_folder {
                std::fs::remove_dir(&folder).unwrap();
                std::fs::write(elsewhere.path().join(file.file_name().unwrap()), "a secret").unwrap();
                symlink(elsewhere.path(), &folder).unwrap();
            } else {
                symlink(&secret, &file).unwrap();
            }
        }
        for part in ["file", "thumbnail"] {
            let answer = trial.get(&format!("/api/v1/images/{id}/{part}"));
            assert_eq!(answer.status, 500, "{part}");
            assert!(!answer.body.windows(8).any(|bytes| bytes == b"a secret"));
        }
        // To write the same picture again goes no other way either.
        let settings = Default::default();
        let parameters = format!("a cat\nSteps: 4, Sampler: Euler, Seed: {n}");
        let made = encaustic_server::images::Made { seed: 0, model: "", settings: &settings, parameters: &parameters };
        let again = app(&trial).images.put(&crate::images::pixels(n as u64, 16, 24), &made);
        assert_eq!(again.is_err(), links_folder, "{again:?}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "a secret");
}
