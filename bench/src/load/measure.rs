//! What a process holds, as Linux and its own metrics tell.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;

use super::server::Server;

/// Gauges that count what is alive; the metrics' labels are summed over.
const ALIVE: [&str; 4] =
    ["mingshi_connections", "mingshi_participants", "mingshi_lesson_pages", "mingshi_http_connections"];

/// A look at the server.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Resident memory (kB).
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// The metrics that count what is alive.
    pub alive: BTreeMap<String, f64>,
}

impl Measured {
    /// A look at the server now.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn of(server: &Server) -> anyhow::Result<Self> {
        let pid = server.pid();
        let metrics = server.metrics().await?;
        let alive = ALIVE.iter().filter_map(|name| sum(&metrics, name).map(|value| ((*name).to_owned(), value)));
        Ok(Self {
            resident: resident(pid)?,
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            alive: alive.collect(),
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kB resident, {} descriptors, {} threads", self.resident, self.descriptors, self.threads)?;
        self.alive.iter().try_for_each(|(name, value)| {
            write!(f, ", {} {value}", name.trim_start_matches("mingshi_").replace('_', " "))
        })
    }
}

/// Resident memory of a process (kB).
///
/// # Errors
/// When it is gone.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the process has no memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// The sum of a metric over its labels, where it is collected.
#[must_use]
pub fn sum(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// The machine: its processor, cores and kernel.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_of_its_name() {
        let text = "# HELP a b\nmingshi_connections{worker=\"0\"} 2\nmingshi_connections{worker=\"1\"} 3\nmingshi_connections_asked_total 9\n";
        assert_eq!(sum(text, "mingshi_connections"), Some(5.0));
        assert_eq!(sum(text, "mingshi_pages"), None);
    }
}
