//! The process itself, by the names that Prometheus has for every process.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::Gauge},
    registry::Registry,
};

/// What the operating system says of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    max_files: u64,
    /// Seconds since 1970.
    started: f64,
}

/// The metrics of the process as it is now; nothing where the system does not tell.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::with_prefix("process");
    let Some(seen) = seen() else { return registry };
    let mut gauge = |name, help, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    #[expect(clippy::cast_precision_loss, reason = "no process is so large")]
    let large = |number: u64| number as f64;
    gauge("resident_memory_bytes", "Memory of this process that is in use", large(seen.resident_bytes));
    gauge("virtual_memory_bytes", "Memory of this process that has addresses", large(seen.virtual_bytes));
    gauge("open_fds", "Files and connections that are open", large(seen.open_files));
    gauge("max_fds", "How many files and connections may be open", large(seen.max_files));
    gauge("start_time_seconds", "When this process was started, in seconds since 1970", seen.started);
    let cpu = ConstCounter::new(seen.cpu_seconds);
    registry.register("cpu_seconds", "Time of processors that this process has used, in seconds", cpu);
    registry
}

#[cfg(target_os = "linux")]
fn seen() -> Option<Seen> {
    use std::sync::LazyLock;

    use procfs::{
        CurrentSI as _, KernelStats, WithCurrentSystemInfo as _,
        process::{LimitValue, Process},
    };

    /// When the machine was started, which does not change.
    static BOOTED: LazyLock<Option<u64>> = LazyLock::new(|| KernelStats::current().ok().map(|kernel| kernel.btime));

    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "no process is so old")]
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let max_files = match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(files) => files,
        LimitValue::Unlimited => u64::MAX,
    };
    #[expect(clippy::cast_precision_loss, reason = "no machine is so old")]
    let started = (*BOOTED)? as f64 + seconds(stat.starttime);
    Some(Seen {
        cpu_seconds: seconds(stat.utime + stat.stime),
        resident_bytes: stat.rss_bytes().get(),
        virtual_bytes: stat.vsize,
        open_files: u64::try_from(process.fd_count().ok()?).ok()?,
        max_files,
        started,
    })
}

#[cfg(not(target_os = "linux"))]
const fn seen() -> Option<Seen> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_seen() {
        let seen = seen().unwrap();
        assert!(seen.resident_bytes > 1_000_000 && seen.virtual_bytes >= seen.resident_bytes, "{seen:?}");
        assert!((3..=seen.max_files).contains(&seen.open_files), "{seen:?}");
        assert!(seen.started > 1_600_000_000.0, "{seen:?}");
    }
}
