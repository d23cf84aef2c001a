//! What the system says of this process.

use super::exposition::{Exposition, Kind};

/// Adds what the process takes of the machine; what the system doesn't tell is left out.
pub fn write_process(exposition: &mut Exposition) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        let name = ("process_resident_memory_bytes", Kind::Gauge, "Memory in use");
        exposition.add(name, &[], bytes);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        exposition.add(("process_open_fds", Kind::Gauge, "File descriptors open"), &[], entries.count() as f64);
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let tasks = runtime.metrics().num_alive_tasks();
        exposition.add(("mingshi_tasks", Kind::Gauge, "Asynchronous tasks that aren't done"), &[], tasks as f64);
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    exposition.add(("mingshi_build_info", Kind::Gauge, "Always 1; which build this is"), &version, 1.0);
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_understood() {
        assert_eq!(resident_bytes("Name:\tmingshi\nVmRSS:\t   2048 kB\nThreads:\t4\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes("Name:\tmingshi\n"), None);
    }
}
