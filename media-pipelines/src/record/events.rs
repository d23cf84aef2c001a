//! What a recorder says on standard output: one JSON object a line.

use std::io::Write;

use serde::Serialize;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It records.
    Started {
        /// Whether it goes on where another run was ended.
        resumed: bool,
    },
    /// How far it is.
    Progress {
        /// How much of the lesson is recorded.
        duration_ms: u64,
        /// How much of the journal waits.
        behind_ms: u64,
    },
    /// Something isn't as it should be, and the recording goes on.
    Problem(Problem),
    /// The finished recording's manifest is written.
    Files {
        /// Whether every file that is wanted is there.
        complete: bool,
    },
    /// Nothing is left to do.
    Finished,
}

/// See [`Event::Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Problem {
    /// What it is about; the whole recording where there is no name.
    pub track: Option<String>,
    /// Where in the lesson.
    pub at_ms: u64,
    /// What it is and what to do, in English.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
}

/// Where events go.
pub trait Events {
    /// Tell one.
    fn tell(&mut self, event: &Event);
}

/// Lines on standard output.
#[derive(Debug, Default)]
pub struct StandardOutput;

impl Events for StandardOutput {
    fn tell(&mut self, event: &Event) {
        let Ok(line) = serde_json::to_string(event) else { return };
        // Whoever listened is gone, and with it the interest; the recording itself goes on.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

impl Events for Vec<Event> {
    fn tell(&mut self, event: &Event) {
        self.push(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_that_says_which_event_it_is() {
        let problem = Problem { track: None, at_ms: 3, en: "a".into(), zh: "甲".into() };
        let lines = [Event::Started { resumed: true }, Event::Problem(problem), Event::Finished]
            .map(|event| serde_json::to_string(&event).expect("plain values"));
        let expected = [
            r#"{"event":"started","resumed":true}"#,
            r#"{"event":"problem","track":null,"at_ms":3,"en":"a","zh":"甲"}"#,
            r#"{"event":"finished"}"#,
        ];
        assert_eq!(lines, expected);
    }
}
