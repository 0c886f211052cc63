//! How much memory the process has needed so far.

/// The most physical memory that this process has held at once, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn peak() -> Option<u64> {
    // Not `getrusage`: its figure outlives `exec`, so a small program started by a large one looks large.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The most physical memory that this process has held at once, in bytes; `None` where the system does not tell.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn peak() -> Option<u64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let most = u64::try_from(usage.max_rss()).ok()?;
    // Apple counts bytes, the BSDs KiB.
    Some(if cfg!(target_vendor = "apple") { most } else { most * 1024 })
}

/// The most physical memory that this process has held at once, in bytes; `None` where the system does not tell.
#[cfg(not(unix))]
pub fn peak() -> Option<u64> {
    None
}
