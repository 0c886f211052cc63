//! Where messages may be sent.
//!
//! To public addresses over https. Any other host has to be named in the setting `webhook_hosts`: then it may be in a private
//! network or this machine, and be spoken to in plain http; link-local addresses and those of clouds' metadata services are
//! never connected to. Redirects are not followed and no proxy is asked, so nobody else chooses the address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ureq::config::Config as Settings;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::reach;

/// The longest URL, in bytes.
const LONGEST: usize = 2048;

/// Why a URL is not a target: the rest of a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("this is not a URL; use one like https://example.com/hook")]
    Form,
    /// It is too long.
    #[error("a URL may have {LONGEST} bytes")]
    Long,
    /// It has a name and a password in it.
    #[error("names and passwords in URLs are not sent; the signature proves who sends")]
    Password,
    /// It is not https.
    #[error("messages go over https; plain http is for hosts that the server's setting `webhook_hosts` names")]
    Plain,
    /// It is an address that only the administrator may choose.
    #[error("this is an address of this machine or of a private network; the server's setting `webhook_hosts` can allow it")]
    Private,
    /// It is an address to which nothing is ever sent.
    #[error("nothing is sent to a link-local address, or to one where a cloud has its metadata")]
    Nobodys,
}

/// A URL to which messages may be sent, as far as can be told without looking its name up.
#[derive(Clone, Debug)]
pub struct Target {
    /// The URL.
    pub url: Uri,
    /// Its host in lower case, with its port.
    pub host: String,
    /// Whether the administrator has named the host.
    pub is_named: bool,
}

impl Target {
    /// Judges a URL; `named` are the hosts that the administrator trusts, as `host` or `host:port`.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(url: &str, named: &[String]) -> Result<Self, TargetError> {
        if url.len() > LONGEST {
            return Err(TargetError::Long);
        }
        let url: Uri = url.parse().map_err(|_| TargetError::Form)?;
        let is_plain = match url.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(TargetError::Form),
        };
        let name = url.host().unwrap_or_default().to_ascii_lowercase();
        let host = host(&url).ok_or(TargetError::Form)?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(TargetError::Password);
        }
        let is_named = named.iter().any(|known| known.eq_ignore_ascii_case(&name) || known.eq_ignore_ascii_case(&host));
        let ip = reach::literal(&name);
        match ip {
            Some(ip) if reach::is_nobodys(ip) => return Err(TargetError::Nobodys),
            Some(ip) if !is_named && reach::is_private(ip) => return Err(TargetError::Private),
            None if !is_named && reach::is_loopback(&name) => return Err(TargetError::Private),
            _ => {}
        }
        if is_plain && !is_named {
            return Err(TargetError::Plain);
        }
        Ok(Self { url, host, is_named })
    }
}

/// The host of a URL in lower case, with its port.
pub(super) fn host(url: &Uri) -> Option<String> {
    let name = url.host().filter(|name| !name.is_empty())?;
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    Some(format!("{}:{port}", name.to_ascii_lowercase()))
}

/// An address that is not connected to.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not an address to which messages may be sent")]
pub struct Refused(IpAddr);

/// Looks names up and refuses addresses that a target may not have.
#[derive(Debug)]
pub struct Guard {
    /// Whether the administrator has named the host.
    pub is_named: bool,
}

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &Settings, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let is_refused = |ip: &IpAddr| if self.is_named { reach::is_nobodys(*ip) } else { reach::is_private(*ip) };
        match found.iter().map(SocketAddr::ip).find(is_refused) {
            Some(ip) => Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, Refused(ip)))),
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_hosts_and_named_ones_are_targets() {
        let named = ["127.0.0.1:9000".to_owned(), "hooks.internal".to_owned(), "169.254.169.254".to_owned()];
        let judge = |url: &str| Target::parse(url, &named).map(|target| target.host);
        for (url, host) in [
            ("https://example.com/hook?a=b", "example.com:443"),
            ("https://EXAMPLE.com:8443/", "example.com:8443"),
            ("https://8.8.8.8/x", "8.8.8.8:443"),
            ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
            ("http://hooks.internal:1234/x", "hooks.internal:1234"),
            ("https://[2001:4860:4860::8888]/x", "[2001:4860:4860::8888]:443"),
        ] {
            assert_eq!(judge(url).as_deref(), Ok(host), "{url}");
        }
        use TargetError::{Form, Long, Nobodys, Password, Plain, Private};
        let long = format!("https://example.com/{}", "x".repeat(3000));
        for (url, error) in [
            ("", Form),
            ("example.com", Form),
            ("/x", Form),
            ("ftp://example.com/x", Form),
            ("file:///etc/passwd", Form),
            ("gopher://127.0.0.1:9000/", Form),
            ("https:///x", Form),
            (long.as_str(), Long),
            ("https://a:b@example.com/", Password),
            ("https://a@127.0.0.1:9000/", Password),
            ("http://example.com/x", Plain),
            ("http://8.8.8.8/x", Plain),
            ("http://127.0.0.1:9001/x", Private),
            ("https://127.0.0.1/x", Private),
            ("https://LOCALHOST/x", Private),
            ("https://10.0.0.1/x", Private),
            ("https://192.168.1.1/x", Private),
            ("https://172.16.0.1/x", Private),
            ("https://100.64.0.1/x", Private),
            ("https://0.0.0.0/x", Private),
            ("https://[::1]/x", Private),
            ("https://[::ffff:127.0.0.1]/x", Private),
            ("https://[::ffff:10.0.0.1]/x", Private),
            ("https://[64:ff9b::7f00:1]/x", Private),
            ("https://[fd00::1]/x", Private),
            ("https://169.254.169.254/latest/meta-data", Nobodys),
            ("http://169.254.169.254/latest/meta-data", Nobodys),
            ("https://[fe80::1]/x", Nobodys),
            ("https://[::ffff:169.254.169.254]/x", Nobodys),
            ("https://[64:ff9b::a9fe:a9fe]/x", Nobodys),
            ("https://[fd00:ec2::254]/x", Nobodys),
            ("https://100.100.100.200/x", Nobodys),
        ] {
            assert_eq!(judge(url), Err(error), "{url}");
        }
    }

    #[test]
    fn names_are_judged_by_their_addresses() {
        // The resolver of the system reads the last three as 127.0.0.1.
        for host in ["localhost", "2130706433", "0x7f.1", "127.1"] {
            let config = ureq::Agent::config_builder().proxy(None).build();
            let transport = ureq::unversioned::transport::DefaultConnector::default();
            let agent = ureq::Agent::with_parts(config, transport, Guard { is_named: false });
            let error = agent.get(format!("http://{host}:9/")).call().unwrap_err();
            let is_refused = matches!(&error, ureq::Error::Io(io) if io.get_ref().is_some_and(|inner| inner.is::<Refused>()));
            assert!(is_refused, "{host}: {error}");
        }
    }
}
