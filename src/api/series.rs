//! The series of one lesson and its connections. They are written when asked for, so they end with what they are of.

use crate::id::LessonId;
use crate::lesson::{Flow, Live, Seen, SlotName, mean_and_most};
use crate::telemetry::{Exposition, Kind};

type Name = (&'static str, Kind, &'static str);

const PARTICIPANTS: Name = ("mingshi_lesson_participants", Kind::Gauge, "Participants present in a lesson");
const CLASSROOMS: Name =
    ("mingshi_lesson_classrooms", Kind::Gauge, "Connected classrooms of a lesson by the state of their line");
const CONCEALED: Name = (
    "mingshi_lesson_voice_concealed_ratio",
    Kind::Gauge,
    "Part of the teacher's voice that classrooms last had to make up: mean and most",
);
const FROZEN: Name =
    ("mingshi_lesson_frozen_seconds_total", Kind::Counter, "How long pictures stood still in a lesson's classrooms");
const LESSON: [Name; 5] = [
    ("mingshi_lesson_bytes_total", Kind::Counter, "Octets of media of a lesson, by direction"),
    ("mingshi_lesson_packets_total", Kind::Counter, "Media packets of a lesson, by direction"),
    ("mingshi_lesson_packets_asked_again_total", Kind::Counter, "Packets asked for again, by direction"),
    ("mingshi_lesson_retransmissions_total", Kind::Counter, "Packets sent again, by direction"),
    ("mingshi_lesson_keyframe_requests_total", Kind::Counter, "Keyframes asked for, by direction"),
];
const CONNECTION: [Name; 5] = [
    ("mingshi_connection_bytes_total", Kind::Counter, "Octets of media of a connection"),
    ("mingshi_connection_packets_total", Kind::Counter, "Media packets of a connection"),
    ("mingshi_connection_packets_asked_again_total", Kind::Counter, "Packets asked for again"),
    ("mingshi_connection_retransmissions_total", Kind::Counter, "Packets sent again"),
    ("mingshi_connection_keyframe_requests_total", Kind::Counter, "Keyframes asked for"),
];
const LESSON_LOSS: Name =
    ("mingshi_lesson_loss_ratio", Kind::Gauge, "Part of the packets lost lately, mean and most of a lesson's lines");
const LESSON_ROUND_TRIP: Name =
    ("mingshi_lesson_round_trip_seconds", Kind::Gauge, "Round trip, mean and most of a lesson's lines");
const SCHOOL_LINE: Name = (
    "mingshi_lesson_school_line_bits_per_second",
    Kind::Gauge,
    "What the line of a lesson's school is believed to carry, and what its classrooms may spend of it",
);
const LOSS: Name = ("mingshi_connection_loss_ratio", Kind::Gauge, "Part of a connection's packets lost lately");
const ROUND_TRIP: Name = ("mingshi_connection_round_trip_seconds", Kind::Gauge, "Round trip of a connection");
const JITTER: Name = ("mingshi_connection_jitter_seconds", Kind::Gauge, "Interarrival jitter of a connection");
const LAYER: Name = ("mingshi_connection_layer", Kind::Gauge, "Encoding that flows in a slot, 0 = the first");

/// Adds what is known of one lesson, of each of its connections too where they are wanted.
pub(super) fn write_lesson(exposition: &mut Exposition, id: LessonId, live: &Live, connections: bool) {
    let id = id.to_string();
    let lesson = ("lesson", id.as_str());
    exposition.add(PARTICIPANTS, &[lesson], live.present() as f64);
    for (line, count) in live.classrooms() {
        exposition.add(CLASSROOMS, &[lesson, ("line", line)], count as f64);
    }
    write_spread(exposition, CONCEALED, &[lesson], live.voice_concealed());
    exposition.add(FROZEN, &[lesson], live.frozen_seconds());
    for (direction, flow) in live.flows() {
        write_flow(exposition, &LESSON, &[lesson, ("direction", direction)], flow);
        let lines = || live.seen().filter(|seen| direction_of(seen) == direction);
        let losses = lines().map(|seen| f64::from(seen.line.loss));
        let labels = [lesson, ("direction", direction)];
        write_spread(exposition, LESSON_LOSS, &labels, mean_and_most(losses));
        let round_trips = lines().filter_map(|seen| seen.line.round_trip).map(|round_trip| round_trip.as_secs_f64());
        write_spread(exposition, LESSON_ROUND_TRIP, &labels, mean_and_most(round_trips));
    }
    for (school, rates) in live.school_lines() {
        for (of, rate) in rates {
            let Some(bps) = rate else { continue };
            exposition.add(SCHOOL_LINE, &[lesson, ("school", school), ("of", of)], bps as f64);
        }
    }
    if connections {
        live.seen().for_each(|seen| write_connection(exposition, lesson, &seen));
    }
}

fn write_connection(exposition: &mut Exposition, lesson: (&str, &str), seen: &Seen<'_>) {
    let (participant, connection) = (seen.participant.to_string(), seen.connection.to_string());
    let whose =
        [lesson, ("participant", &*participant), ("connection", &*connection), ("direction", direction_of(seen))];
    write_flow(exposition, &CONNECTION, &whose, seen.flow);
    exposition.add(LOSS, &whose, f64::from(seen.line.loss));
    exposition.add(JITTER, &whose, seen.line.jitter.as_secs_f64());
    if let Some(round_trip) = seen.line.round_trip {
        exposition.add(ROUND_TRIP, &whose, round_trip.as_secs_f64());
    }
    for slot in seen.slots {
        let Some(layer) = slot.layer else { continue };
        let index = slot.index.to_string();
        let [lesson, participant, connection, _] = whose;
        let labels = [lesson, participant, connection, ("slot", SlotName::from(slot.slot).word()), ("index", &*index)];
        exposition.add(LAYER, &labels, f64::from(layer));
    }
}

fn write_flow(exposition: &mut Exposition, names: &[Name; 5], labels: &[(&str, &str)], flow: Flow) {
    let counts = [flow.octets, flow.packets, flow.asked_again, flow.retransmitted, flow.keyframe_requests];
    for (&name, count) in names.iter().zip(counts) {
        exposition.add(name, labels, count as f64);
    }
}

fn write_spread(exposition: &mut Exposition, name: Name, labels: &[(&str, &str)], spread: Option<(f64, f64)>) {
    if let Some((mean, most)) = spread {
        for (of, value) in [("mean", mean), ("most", most)] {
            exposition.add(name, &[labels, &[("of", of)]].concat(), value);
        }
    }
}

const fn direction_of(seen: &Seen<'_>) -> &'static str {
    if seen.line.up { "up" } else { "down" }
}
