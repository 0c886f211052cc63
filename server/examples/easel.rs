//! A server whose engine is quick and needs no GPU, for tests of what stands before a server: `easel ADDRESS DATA [SETTING=VALUE
//! ...]`. What a drawing does beside, its prompt says (`tests/server/support/easel.rs`). It prints one line of JSON when it is
//! ready.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "../tests/server/support/easel.rs"]
mod easel;

use std::path::Path;
use std::sync::Arc;

use encaustic_server::Server;
use encaustic_server::config::{Config, ENTRIES};

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let (listen, data) = (words.next().expect("an address"), words.next().expect("a folder"));
    let mut config = Config { listen: listen.parse().expect("an address"), open: false, ..Config::default() };
    for word in words {
        let (id, value) = word.split_once('=').expect("SETTING=VALUE");
        let entry = ENTRIES.iter().find(|entry| entry.id == id).expect("a setting");
        (entry.set)(&mut config, value).expect("a value of the setting");
    }
    let host = easel::Easel { devices: 2, ..easel::Easel::default() };
    let server = Server::start(config, Path::new(&data), Arc::new(host)).await.expect("a server");
    println!("{{\"address\": \"http://{}\"}}", server.address());
    tokio::signal::ctrl_c().await.expect("an interrupt");
    server.stop().await;
}
