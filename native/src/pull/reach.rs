//! Where a download may lead: which URLs, from which to which, and to which addresses.
//!
//! A URL that a user types may name a server at home. One that a server redirects to may not, unless that server is itself at
//! home: otherwise a page in the internet could make this program ask the router or a cloud's metadata service. Names are
//! judged by the addresses that they have when the connection is made, so a name that changes its mind gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use encaustic_server::reach::{is_nobodys, is_private, literal};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::fault::{Fault, host};

pub(crate) use encaustic_server::reach::is_loopback;

/// Why an address is refused.
pub(crate) const PRIVATE: &str =
    "it is an address of this machine or of a private network, and a server in the internet named it";
const HERE: &str = "it is an address of this machine or of a private network, which clients of a server may not have asked; \
                    `encaustic pull` on its machine may";
const LINK_LOCAL: &str = "no model is fetched from a link-local address, or from one where a cloud has its metadata";
const PLAIN: &str = "models are fetched over https; plain http is for servers on this machine";

/// How far connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anywhere but to link-local addresses and those of clouds' metadata services.
    Any,
    /// To public addresses.
    Public,
}

/// Who knows the addresses of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// This machine.
    Ours,
    /// A proxy, and to ask anybody else can take long.
    Proxys,
}

/// An address that is not connected to.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no public address")]
pub(crate) struct Private(IpAddr);

/// Looks names up and refuses addresses out of reach.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Reach);

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        // The proxy is the user's choice, and where names are looked up if there is one.
        if config.proxy().is_some_and(|proxy| uri.host() == Some(proxy.host()) && uri.port_u16() == Some(proxy.port())) {
            return Ok(found);
        }
        match found.iter().map(SocketAddr::ip).find(|ip| is_out_of_reach(self.0, *ip)) {
            Some(ip) => Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, Private(ip)))),
            None => Ok(found),
        }
    }
}

/// Whether a URL may be asked for at all.
///
/// # Errors
/// If it is neither https nor http to this machine, names a user, or is at a link-local address.
pub(crate) fn allow(url: &Uri) -> Result<(), Fault> {
    let refuse = |why| Err(Fault::Forbidden { place: host(url), why });
    let Some(name) = url.host() else { return refuse("it names no host") };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return refuse("names and passwords in URLs are not sent");
    }
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(name) => {}
        _ => return refuse(PLAIN),
    }
    if literal(name).is_some_and(|ip| is_out_of_reach(Reach::Any, ip)) { refuse(LINK_LOCAL) } else { Ok(()) }
}

/// Whether a URL may be asked for where connections go so far.
///
/// # Errors
/// As [`allow`], and if it is written so that it is out of reach. (A name is judged by its addresses when it is connected to.)
pub(crate) fn begin(url: &Uri, reach: Reach) -> Result<(), Fault> {
    allow(url)?;
    let name = url.host().unwrap_or_default();
    let is_private = is_loopback(name) || literal(name).is_some_and(|ip| is_out_of_reach(Reach::Public, ip));
    if reach == Reach::Public && is_private { Err(Fault::Forbidden { place: host(url), why: HERE }) } else { Ok(()) }
}

/// Whether a server may send us from one URL to another, and how far connections go from then on.
///
/// # Errors
/// If the next is less safe than the one before.
pub(crate) fn follow(from: &Uri, to: &Uri, reach: Reach, names: Names) -> Result<Reach, Fault> {
    let refuse = |why| Err(Fault::Forbidden { place: host(to), why });
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return refuse("a redirect led from https to a connection that others can read");
    }
    allow(to)?;
    if from.host() == to.host() {
        return Ok(reach);
    }
    let reach = if reach == Reach::Public || !is_at_home(from, names) { Reach::Public } else { Reach::Any };
    let name = to.host().unwrap_or_default();
    let is_private = is_loopback(name) || literal(name).is_some_and(|ip| is_out_of_reach(reach, ip));
    if reach == Reach::Public && is_private { refuse(PRIVATE) } else { Ok(reach) }
}

/// Whether a URL's host is on this machine or in a private network.
fn is_at_home(url: &Uri, names: Names) -> bool {
    let name = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(443);
    if let Some(ip) = literal(name) {
        return is_private(ip);
    }
    if names == Names::Proxys {
        return is_loopback(name);
    }
    let mut found = (name, port).to_socket_addrs().into_iter().flatten().peekable();
    found.peek().is_some() && found.all(|address| is_private(address.ip()))
}

fn is_out_of_reach(reach: Reach, ip: IpAddr) -> bool {
    match reach {
        Reach::Public => is_private(ip),
        Reach::Any => is_nobodys(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn clients_of_a_server_ask_the_public_only() {
        for (place, is_public) in [
            ("https://example.com/x", true),
            ("https://1.1.1.1/x", true),
            ("http://127.0.0.1:8080/x", false),
            ("https://localhost/x", false),
            ("https://127.0.0.1/x", false),
            ("https://10.0.0.3/x", false),
            ("https://[::1]/x", false),
            ("https://[fd00::1]/x", false),
            ("http://example.com/x", false),
        ] {
            assert_eq!(begin(&url(place), Reach::Public).is_ok(), is_public, "{place}");
            assert_eq!(begin(&url(place), Reach::Any).is_ok(), allow(&url(place)).is_ok(), "{place}");
        }
    }

    #[test]
    fn only_https_or_this_machine_is_asked() {
        for good in
            ["https://example.com/x", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:9/x", "https://10.0.0.3/x"]
        {
            assert!(allow(&url(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com/x",
            "http://10.0.0.3/x",
            "ftp://example.com/x",
            "https://user:pass@example.com/x",
            "https://169.254.169.254/x",
            "https://[fe80::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://[::169.254.169.254]/x",
            "https://[64:ff9b::a9fe:a9fe]/x",
            "https://[2002:a9fe:a9fe::1]/x",
            "https://[fd00:ec2::254]/x",
            "https://100.100.100.200/x",
            "https://[64:ff9b::6464:64c8]/x",
            "http://127.0.0.1.example.com/x",
        ] {
            assert!(allow(&url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_server_leads_to_public_servers_only() {
        let from = url("https://1.1.1.1/x");
        for bad in [
            "http://1.1.1.1/x",
            "https://127.0.0.1/x",
            "http://127.0.0.1/x",
            "https://localhost/x",
            "https://169.254.169.254/x",
            "https://10.1.2.3/x",
            "https://192.168.1.1/x",
            "https://100.64.0.1/x",
            "https://0.0.0.0/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[64:ff9b::7f00:1]/x",
            "https://[fd00::1]/x",
            "https://198.18.0.1/x",
            "https://198.19.255.1/x",
            "https://240.0.0.1/x",
            "https://192.0.0.8/x",
            "https://[fec0::1]/x",
            "https://[feff::1]/x",
            "https://[64:ff9b:1::808:808]/x",
            "https://[2001:0:4136:e378::1]/x",
            "https://[2002:c612:1::1]/x",
        ] {
            assert!(follow(&from, &url(bad), Reach::Any, Names::Ours).is_err(), "{bad}");
        }
        for good in [
            "198.17.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "100.128.0.1",
            "223.255.255.1",
            "[2001:4860:4860::8888]",
            "[64:ff9b::808:808]",
        ] {
            assert_eq!(
                follow(&from, &url(&format!("https://{good}/x")), Reach::Any, Names::Ours).unwrap(),
                Reach::Public,
                "{good}"
            );
        }
        assert_eq!(follow(&from, &url("https://8.8.8.8/x"), Reach::Any, Names::Ours).unwrap(), Reach::Public);
        assert_eq!(follow(&from, &url("https://1.1.1.1/y"), Reach::Any, Names::Ours).unwrap(), Reach::Any);
        // A server at home may name another one there, but once abroad there is no way back.
        let home = url("http://127.0.0.1:1/x");
        assert_eq!(follow(&home, &url("https://10.0.0.1/x"), Reach::Any, Names::Ours).unwrap(), Reach::Any);
        assert!(follow(&home, &url("https://10.0.0.1/x"), Reach::Public, Names::Ours).is_err());
    }

    #[test]
    fn names_are_judged_by_their_addresses() {
        let agent = |reach, proxy| {
            let config = Config::builder().proxy(proxy).build();
            ureq::Agent::with_parts(config, ureq::unversioned::transport::DefaultConnector::default(), Guard(reach))
        };
        let error = agent(Reach::Public, None).get("http://localhost:9/").call().unwrap_err();
        let fault = Fault::of_request(error, &url("http://localhost:9/"), std::time::Duration::from_secs(1));
        assert!(matches!(fault, Fault::Forbidden { .. }), "{fault}");
        // A proxy may well be in a private network.
        let proxy = ureq::Proxy::new("http://127.0.0.1:9").unwrap();
        let error = agent(Reach::Public, Some(proxy)).get("https://example.com/").call().unwrap_err();
        let fault = Fault::of_request(error, &url("https://example.com/"), std::time::Duration::from_secs(1));
        assert!(matches!(fault, Fault::Unreachable { .. }), "{fault}");
    }
}
