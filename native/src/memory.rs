//! How much memory this process and its machine have; and how it stands back behind others.

/// The most physical memory that this process has held at once, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn peak() -> Option<u64> {
    // Not `getrusage`: its figure outlives `exec`, so a small program started by a large one looks large.
    line("/proc/self/status", "VmHWM:")
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

/// A line of a file of the system's like `MemTotal:  16318480 kB`, in bytes.
#[cfg(target_os = "linux")]
fn line(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The physical memory that this process holds now, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn now() -> Option<u64> {
    line("/proc/self/status", "VmRSS:")
}

/// The physical memory that this process holds now, in bytes; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn now() -> Option<u64> {
    None
}

/// The physical memory of this machine, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn total() -> Option<u64> {
    line("/proc/meminfo", "MemTotal:")
}

/// The physical memory of this machine, in bytes; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn total() -> Option<u64> {
    None
}
