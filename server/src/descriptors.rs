//! Open files and connections: a system allows a process so many of them, and usually first far fewer than it would.

/// Kept for files, the database and what the rest of the process opens.
const FILES: u32 = 256;

/// How many connections may be open at the same time, of those `wanted`; the limit of the system is raised for them as far as it
/// may be.
pub(crate) fn connections(wanted: u32) -> u32 {
    let Some(limit) = raise(u64::from(wanted) + u64::from(FILES)) else { return wanted };
    let room = within(wanted, limit);
    if room < wanted {
        tracing::warn!(
            "the system allows this process {limit} open files and connections: no more than {room} connections are taken at a time, \
             not {wanted}; raise `ulimit -n`, or LimitNOFILE of the service"
        );
    }
    room
}

/// The connections that a limit leaves room for; where it is low, half of it.
fn within(wanted: u32, limit: u64) -> u32 {
    let room = limit.saturating_sub(FILES.into()).max(limit / 2).max(1);
    u32::try_from(room).map_or(wanted, |room| room.min(wanted))
}

/// Raises the limit to what is wanted, if it is lower; returns what it is then.
#[cfg(unix)]
fn raise(wanted: u64) -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = wanted.min(hard);
    if soft >= wanted {
        return Some(soft);
    }
    Some(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted))
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
fn raise(_: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        for (wanted, limit, room) in [
            (4096, 1 << 20, 4096),
            (4096, 4096 + 256, 4096),
            (4096, 1024, 768),
            (4096, 256, 128),
            (10, 256, 10),
            (5, 1, 1),
            (7, u64::MAX, 7),
        ] {
            assert_eq!(within(wanted, limit), room, "{wanted} of {limit}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised() {
        let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        let wanted = (soft + 1).min(hard);
        assert!(raise(wanted).unwrap() >= wanted);
        let (raised, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        assert!(raised >= wanted);
    }
}
