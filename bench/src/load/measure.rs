//! What a process holds, as Linux and its own metrics tell.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;

use super::server::Server;

/// Gauges that count what is alive; their series are kept apart by `of` and summed over other labels.
const ALIVE: [&str; 11] = [
    "mingshi_connections",
    "mingshi_participants",
    "mingshi_lessons_running",
    "mingshi_lesson_pages",
    "mingshi_websockets",
    "mingshi_http_connections",
    "mingshi_tcp_streams",
    "mingshi_tasks",
    "mingshi_worker_entries",
    "mingshi_lesson_entries",
    "mingshi_rate_limit_entries",
];
/// Of them, what is remembered of those who left, up to a bound and for as long as the lesson runs or the limit looks back.
const REMEMBERED: [&str; 3] =
    ["lesson_entries remembered_people", "lesson_entries remembered_shares", "rate_limit_entries participants"];
/// The metrics' own connection, and what asks in parallel: they are there only while they are asked for.
const OWN: [&str; 2] = ["http_connections", "tasks"];
/// How many of its own connections a client keeps open for a while.
const IDLE_CLIENTS: f64 = 12.0;

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
        let mut alive = BTreeMap::new();
        for name in ALIVE {
            let short = name.trim_start_matches("mingshi_");
            for (of, value) in by(&metrics, name, "of") {
                let entry = if of.is_empty() { short.to_owned() } else { format!("{short} {of}") };
                *alive.entry(entry).or_default() += value;
            }
        }
        Ok(Self {
            resident: resident(pid)?,
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            alive,
        })
    }

    /// What there is more of than `before`, as a text each. What is only remembered counts once nobody is left in any lesson.
    #[must_use]
    pub fn left_behind(&self, before: &Self) -> Vec<String> {
        let nobody = self.alive.get("lessons_running") == Some(&0.0);
        let more = self.alive.iter().filter(|(name, value)| {
            let (name, idle) = (name.as_str(), if OWN.contains(&name.as_str()) { IDLE_CLIENTS } else { 0.0 });
            let counts = nobody || !REMEMBERED.contains(&name);
            counts && **value > before.alive.get(name).copied().unwrap_or_default() + idle
        });
        more.map(|(name, value)| format!("{name} {value}")).collect()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kB resident, {} descriptors, {} threads", self.resident, self.descriptors, self.threads)?;
        self.alive.iter().try_for_each(|(name, value)| write!(f, ", {} {value}", name.replace('_', " ")))
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

/// The series of a metric, each with its value of `label` (empty where it has none).
pub fn by<'a>(metrics: &'a str, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let labels = labels.trim_matches(['{', '}']).split(',');
        let of = labels.filter_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix('"')).next();
        Some((of.unwrap_or_default(), value.parse().ok()?))
    })
}

/// The sum of a metric over its series, where it is collected.
#[must_use]
pub fn sum(metrics: &str, name: &str) -> Option<f64> {
    by(metrics, name, "").map(|(_, value)| value).reduce(|sum, value| sum + value)
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
        let text = "mingshi_worker_entries{worker=\"0\",of=\"slots\"} 2\nmingshi_worker_entries{worker=\"0\",of=\"lessons\"} 1\n";
        assert_eq!(by(text, "mingshi_worker_entries", "of").collect::<Vec<_>>(), [("slots", 2.0), ("lessons", 1.0)]);
    }
}
