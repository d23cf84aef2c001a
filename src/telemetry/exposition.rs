//! Series that live as long as what they are of: written at the moment they are asked for, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What kind of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    meaning: &'static str,
    lines: String,
}

/// A collection of series.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

impl Exposition {
    /// One value of one series.
    pub fn add(
        &mut self,
        (name, kind, meaning): (&'static str, Kind, &'static str),
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let family = self.families.entry(name).or_insert_with(|| Family { kind, meaning, lines: String::new() });
        let lines = &mut family.lines;
        lines.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            lines.push_str(if at == 0 { "{" } else { "," });
            lines.push_str(label);
            lines.push_str("=\"");
            for character in text.chars() {
                match character {
                    '\\' => lines.push_str("\\\\"),
                    '"' => lines.push_str("\\\""),
                    '\n' => lines.push_str("\\n"),
                    other => lines.push(other),
                }
            }
            lines.push('"');
        }
        // Writing to a text never fails.
        let _ = writeln!(lines, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Everything, one family after the other.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, Family { kind, meaning, lines }) in &self.families {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{lines}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_and_labels_are_escaped() {
        let mut exposition = Exposition::default();
        let loss = ("b_ratio", Kind::Gauge, "Loss");
        exposition.add(loss, &[("lesson", "1\"\\\n")], 0.5);
        exposition.add(("a_total", Kind::Counter, "Octets"), &[], 3.0);
        exposition.add(loss, &[("lesson", "2"), ("way", "up")], 0.0);
        let expected = "# HELP a_total Octets\n# TYPE a_total counter\na_total 3\n\n# HELP b_ratio Loss\n# TYPE b_ratio gauge\n\
                        b_ratio{lesson=\"1\\\"\\\\\\n\"} 0.5\nb_ratio{lesson=\"2\",way=\"up\"} 0\n\n";
        assert_eq!(exposition.render(), expected);
    }
}
