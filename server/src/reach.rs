//! Which addresses are whose: what a server may connect to when a stranger names the target.
//!
//! A name is judged by the addresses that it has when the connection is made, so a name that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds tell a machine its secrets, beside link-local addresses: Alibaba's, and Amazon's of the sixth version.
const METADATA_4: [Ipv4Addr; 1] = [Ipv4Addr::new(100, 100, 100, 200)];
const METADATA_6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

/// Whether an address is link-local, or one where a cloud has its metadata: nothing that is worth asking is there.
pub fn is_nobodys(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(ip) => is_nobodys_4(ip),
        IpAddr::V6(ip) => {
            let is_nobodys = ip.is_unicast_link_local() || METADATA_6.contains(&ip);
            is_nobodys || embedded(ip).is_some_and(is_nobodys_4)
        }
    }
}

/// Whether an address is not in the public internet: this machine's, a private network's, or nobody's.
pub fn is_private(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(ip) => is_private_4(ip),
        IpAddr::V6(ip) => is_private_6(ip),
    }
}

/// Whether a host is this machine.
pub fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || literal(name).is_some_and(|ip| plain(ip).is_loopback())
}

/// The address that a host is written as, with or without brackets.
pub fn literal(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_nobodys_4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || METADATA_4.contains(&ip)
}

/// The address of the fourth version that one of the sixth carries: NAT64, 6to4 and the old compatible form.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// An address of the fourth version that is written as one of the sixth, as what it is.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn is_private_4(ip: Ipv4Addr) -> bool {
    let is_shared = match ip.octets() {
        // 0/8 means this machine on some systems; 100.64/10 is what providers share among customers; 192.0.0/24 is for
        // protocols, 198.18/15 for measurements, and what comes from 240/4 on is kept back.
        [0, ..] | [100, 64..128, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..] => true,
        _ => false,
    };
    ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_broadcast() || ip.is_multicast() || is_shared
}

fn is_private_6(ip: Ipv6Addr) -> bool {
    let is_local = match ip.segments() {
        // What sites used before unique local addresses, NAT64 of a network's own, and Teredo, which leads behind routers.
        [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => true,
        _ => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    is_local || ip.is_multicast() || embedded(ip).is_some_and(is_private_4)
}
