//! Requests as bytes: what no well-behaved client would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Trial;

/// An answer as text: its status, its head in lower case, its body.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Trial {
    /// The server's address, as `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.url("").replace("http://", "")
    }

    /// An open connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends a request line and headers (with a `Host` unless one is among them), and a body.
    pub fn raw(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !has("host") {
            text += &format!("Host: {}\r\n", self.address());
        }
        if !body.is_empty() && !has("transfer-encoding") {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers.iter().filter(|(_, value)| *value != "-") {
            text += &format!("{name}: {value}\r\n");
        }
        self.say(&format!("{text}\r\n{body}"))
    }

    /// Sends bytes as they are and reads until the connection is closed.
    pub fn say(&self, text: &str) -> Reply {
        let mut stream = self.connect();
        // The server may close before it has read all.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let line = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
            None => format!("{line}\n"),
        };
        Reply { status, head: head.lines().map(line).collect(), body: body.to_owned() }
    }
}
