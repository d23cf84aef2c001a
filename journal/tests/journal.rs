//! A journal that is cut, damaged or garbage, and what is read of it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mingshi_journal::{
    Anchor, Closed, Codec, End, Event, Kind, Lost, LostWhy, MAX_PAYLOAD, Next, Opened, Packet, Position, Record,
    Restarted, Source, SourceEnded, Tail, What, Writer, is_closed, repair,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tempfile::TempDir;

fn packet(sequence: u64, payload: &[u8]) -> Record {
    Record::Packet(Packet {
        source: 1,
        layer: 0,
        codec: Codec::H264,
        marker: sequence.is_multiple_of(3),
        sequence,
        timestamp: sequence as u32 * 3_000,
        arrival: sequence as i64 * 33_000_000,
        payload: Bytes::copy_from_slice(payload),
    })
}

/// A short lesson: an opening, a source, packets, an end.
fn lesson() -> Vec<Record> {
    let opened = Opened {
        lesson: "0000000000001".into(),
        title: "古诗".into(),
        teacher: None,
        subject: Some("语文".into()),
        grade: None,
        at: 1,
    };
    let source = Source {
        number: 1,
        publication: "p".into(),
        participant: "t".into(),
        end: End::Studio,
        source: "camera".into(),
        kind: Kind::Video,
        rids: vec!["q".into(), "h".into()],
        at: 2,
    };
    let packets = (0..8).map(|sequence| packet(sequence, &vec![sequence as u8; 5 + 7 * sequence as usize]));
    let mut lesson = vec![Record::Opened(opened), Record::Source(source)];
    lesson.extend(packets);
    lesson.push(Record::Anchor(Anchor { source: 1, layer: 0, timestamp: 9, unix_nanos: 10 }));
    lesson.push(Record::Closed(Closed { at: 3 }));
    lesson
}

fn segment(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.journal"))
}

/// Writes records and returns where each ends in the one segment.
fn write(folder: &Path, records: &[Record]) -> Vec<u64> {
    let mut writer = Writer::open(folder, 77).expect("a folder");
    let number = writer.segment();
    let ends = records.iter().map(|record| {
        writer.append(record).expect("short enough");
        writer.flush().expect("room");
        fs::metadata(segment(folder, number)).expect("a segment").len()
    });
    ends.collect()
}

/// All that a tail tells until it waits.
fn read(tail: &mut Tail) -> Vec<Next> {
    std::iter::from_fn(|| match tail.next().expect("readable files") {
        Next::Waiting => None,
        next => Some(next),
    })
    .collect()
}

fn read_all(folder: &Path) -> Vec<Next> {
    read(&mut Tail::open(folder, Position::default()))
}

fn whole(records: &[Record]) -> Vec<Next> {
    records.iter().cloned().map(Next::Record).collect()
}

fn only_records(all: Vec<Next>) -> Vec<Record> {
    all.into_iter()
        .filter_map(|next| match next {
            Next::Record(record) => Some(record),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_written_is_read_while_it_is_written_and_afterwards() {
    let folder = TempDir::new().expect("a folder");
    let mut tail = Tail::open(&folder.path().join("journal"), Position::default());
    assert_eq!(tail.next().expect("no folder is no error"), Next::Waiting);
    let mut writer = Writer::open(&folder.path().join("journal"), 77).expect("a folder");
    for record in lesson() {
        assert_eq!(tail.next().expect("readable"), Next::Waiting);
        writer.append(&record).expect("short");
        assert_eq!(tail.next().expect("readable"), Next::Waiting, "before it is flushed");
        writer.flush().expect("room");
        assert_eq!(tail.next().expect("readable"), Next::Record(record));
    }
    assert_eq!(read_all(&folder.path().join("journal")), whole(&lesson()));
}

#[test]
fn a_journal_cut_anywhere_is_read_up_to_the_last_whole_record_and_repaired_to_it() {
    let written = TempDir::new().expect("a folder");
    let records = lesson();
    let ends = write(written.path(), &records);
    let octets = fs::read(segment(written.path(), 1)).expect("a segment");
    for cut in 0..=octets.len() {
        let folder = TempDir::new().expect("a folder");
        let count = ends.iter().filter(|end| **end <= cut as u64).count();
        fs::write(segment(folder.path(), 1), &octets[..cut]).expect("room");
        assert_eq!(read_all(folder.path()), whole(&records[..count]), "cut at {cut}");

        // Once it is known that nothing follows, the rest is damage.
        let mut finished = Tail::open(folder.path(), Position::default());
        finished.finish();
        let told = read(&mut finished);
        assert_eq!(told.len() - count, usize::from(is_inside(cut, &ends)), "cut at {cut}");
        assert_eq!(only_records(told), records[..count]);
    }
}

#[test]
fn what_a_killed_run_left_is_repaired_or_passed_by_where_another_run_follows() {
    let written = TempDir::new().expect("a folder");
    let records = lesson();
    let ends = write(written.path(), &records);
    let octets = fs::read(segment(written.path(), 1)).expect("a segment");
    for cut in (0..=octets.len()).step_by(13) {
        let folder = TempDir::new().expect("a folder");
        let count = ends.iter().filter(|end| **end <= cut as u64).count();
        fs::write(segment(folder.path(), 1), &octets[..cut]).expect("room");
        write(folder.path(), &records[..1]);
        let told = read_all(folder.path());
        assert_eq!(only_records(told), [&records[..count], &records[..1]].concat(), "cut at {cut}");
        fs::remove_file(segment(folder.path(), 2)).expect("it was written");

        let repaired = repair(folder.path()).expect("readable");
        let left = fs::metadata(segment(folder.path(), 1)).expect("a segment").len();
        assert_eq!(repaired.cut, cut as u64 - left);
        let header = if cut < 26 { 0 } else { 26 };
        assert_eq!(left, if count > 0 { ends[count - 1] } else { header });
        assert_eq!(read_all(folder.path()), whole(&records[..count]), "repaired at {cut}");
    }
}

/// Whether a cut leaves something that is no whole record.
fn is_inside(cut: usize, ends: &[u64]) -> bool {
    cut != 0 && cut != 26 && !ends.contains(&(cut as u64))
}

#[test]
fn a_flipped_octet_costs_the_record_it_is_in_and_no_other() {
    let folder = TempDir::new().expect("a folder");
    let (records, path) = (lesson(), segment(folder.path(), 1));
    let ends = write(folder.path(), &records);
    let octets = fs::read(&path).expect("a segment");
    let file = OpenOptions::new().write(true).open(&path).expect("a segment");
    for at in 0..octets.len() {
        file.write_all_at(&[octets[at] ^ 0x5a], at as u64).expect("room");
        let hit = ends.iter().filter(|end| **end <= at as u64).count();
        let expected: Vec<_> = if at < 26 { records.clone() } else { [&records[..hit], &records[hit + 1..]].concat() };
        let mut tail = Tail::open(folder.path(), Position::default());
        tail.finish();
        let told = read(&mut tail);
        assert_eq!(told.len(), expected.len() + 1, "octet {at}");
        assert_eq!(only_records(told), expected, "octet {at}");
        file.write_all_at(&octets[at..=at], at as u64).expect("room");
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let folder = TempDir::new().expect("a folder");
    let (records, path) = (lesson(), segment(folder.path(), 1));
    let ends = write(folder.path(), &records);
    let mut octets = fs::read(&path).expect("a segment");
    octets[ends[3] as usize + 15] ^= 1;
    octets[ends[4] as usize + 15] ^= 1;
    fs::write(&path, &octets).expect("room");
    let place = |offset| Position { segment: 1, offset };
    assert_eq!(read_all(folder.path())[4], Next::Damaged { from: place(ends[3]), to: place(ends[5]) });
}

#[test]
fn a_reader_goes_on_where_another_one_stopped() {
    let folder = TempDir::new().expect("a folder");
    let records = lesson();
    write(folder.path(), &records[..7]);
    write(folder.path(), &records[7..]);
    for stop in 0..=records.len() {
        let mut first = Tail::open(folder.path(), Position::default());
        for record in &records[..stop] {
            assert_eq!(first.next().expect("readable"), Next::Record(record.clone()));
        }
        let mut second = Tail::open(folder.path(), first.position());
        assert_eq!(read(&mut second), whole(&records[stop..]), "stopped after {stop}");
    }
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    let folder = TempDir::new().expect("a folder");
    let records = lesson();
    for part in records.chunks(4) {
        write(folder.path(), part);
    }
    fs::remove_file(segment(folder.path(), 2)).expect("it was written");
    let told = read_all(folder.path());
    assert!(matches!(told[4], Next::Damaged { to: Position { segment: 3, .. }, .. }), "{told:?}");
    assert_eq!(only_records(told), [&records[..4], &records[8..]].concat());
    // At the beginning it is only shorter.
    fs::remove_file(segment(folder.path(), 1)).expect("it was written");
    assert_eq!(read_all(folder.path()), whole(&records[8..]));
}

#[test]
fn a_long_journal_goes_on_in_the_next_segment() {
    let folder = TempDir::new().expect("a folder");
    let mut writer = Writer::open(folder.path(), 77).expect("a folder");
    let long = vec![7; MAX_PAYLOAD - 24];
    for sequence in 0..70 {
        writer.append(&packet(sequence, &long)).expect("just short enough");
        writer.sync().expect("room");
    }
    assert_eq!(writer.segment(), 2);
    let mut tail = Tail::open(folder.path(), Position::default());
    for sequence in 0..70 {
        assert_eq!(tail.next().expect("readable"), Next::Record(packet(sequence, &long)));
    }
    assert_eq!(tail.next().expect("readable"), Next::Waiting);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_the_next_is_written() {
    let folder = TempDir::new().expect("a folder");
    let mut writer = Writer::open(folder.path(), 77).expect("a folder");
    assert!(writer.append(&packet(1, &vec![0; MAX_PAYLOAD])).is_err());
    writer.append(&packet(2, b"short")).expect("short");
    writer.flush().expect("room");
    assert_eq!(read_all(folder.path()), [Next::Record(packet(2, b"short"))]);
}

#[test]
fn what_is_given_up_is_gone_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let mut writer = Writer::open(folder.path(), 77).expect("a folder");
    writer.append(&packet(1, b"kept")).expect("short");
    writer.flush().expect("room");
    writer.append(&packet(2, b"given up")).expect("short");
    assert!(writer.give_up() > 0);
    writer.append(&packet(3, b"kept too")).expect("short");
    writer.flush().expect("room");
    assert_eq!(read_all(folder.path()), whole(&[packet(1, b"kept"), packet(3, b"kept too")]));
}

#[test]
fn a_journal_says_by_its_end_whether_it_is_closed() {
    let folder = TempDir::new().expect("a folder");
    assert!(!is_closed(folder.path()).expect("an empty folder"));
    write(folder.path(), &lesson());
    assert!(is_closed(folder.path()).expect("readable"));
    let path = segment(folder.path(), 1);
    let octets = fs::read(&path).expect("a segment");
    fs::write(&path, &octets[..octets.len() - 1]).expect("room");
    assert!(!is_closed(folder.path()).expect("readable"), "cut short");
    fs::write(&path, &octets).expect("room");
    write(folder.path(), &lesson()[..1]);
    assert!(!is_closed(folder.path()).expect("readable"), "another run goes on");
}

#[test]
fn a_segment_of_a_later_version_is_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), &lesson());
    let path = segment(folder.path(), 1);
    let mut octets = fs::read(&path).expect("a segment");
    octets[8] = 2;
    let sum = crc32c::crc32c(&octets[..22]).to_le_bytes();
    octets[22..26].copy_from_slice(&sum);
    fs::write(&path, &octets).expect("room");
    let error = Tail::open(folder.path(), Position::default()).next().expect_err("a later version");
    assert!(error.to_string().contains("version 2"), "{error}");
    repair(folder.path()).expect("it is left alone");
    assert_eq!(fs::read(&path).expect("a segment"), octets);
}

fn text() -> impl Strategy<Value = String> {
    "[a-z语文]{0,12}"
}

fn records() -> impl Strategy<Value = Record> {
    let codec = prop_oneof![Just(Codec::H264), Just(Codec::Vp8), Just(Codec::Av1), Just(Codec::Opus)];
    let media = (any::<(u16, u8, bool, u64, u32, i64)>(), codec, vec(any::<u8>(), 0..300));
    let packets = media.prop_map(|((source, layer, marker, sequence, timestamp, arrival), codec, payload)| {
        let payload = payload.into();
        Record::Packet(Packet { source, layer, codec, marker, sequence, timestamp, arrival, payload })
    });
    let opened = (text(), text(), option::of(text()), option::of(text()), any::<i64>()).prop_map(
        |(lesson, title, teacher, subject, at)| {
            Record::Opened(Opened { lesson, title, teacher, subject, grade: None, at })
        },
    );
    let source = (any::<u16>(), text(), vec(text(), 0..3), any::<i64>()).prop_map(|(number, text, rids, at)| {
        let (publication, participant, source) = (text.clone(), text.clone(), text);
        Record::Source(Source {
            number,
            publication,
            participant,
            end: End::Classroom,
            source,
            kind: Kind::Voice,
            rids,
            at,
        })
    });
    let what = prop_oneof![
        (text(), text(), text(), option::of(text())).prop_map(|(participant, name, role, school)| What::Joined {
            participant,
            name,
            role,
            school
        }),
        text().prop_map(|participant| What::Left { participant }),
        vec(text(), 0..3).prop_map(|participants| What::Stage { participants }),
        (text(), any::<bool>()).prop_map(|(participant, raised)| What::Hand { participant, raised }),
    ];
    let why = prop_oneof![Just(LostWhy::QueueFull), Just(LostWhy::DiskFull), Just(LostWhy::DiskSlow)];
    prop_oneof![
        8 => packets,
        1 => opened,
        1 => source,
        1 => any::<(u16, i64)>().prop_map(|(number, at)| Record::SourceEnded(SourceEnded { number, at })),
        1 => any::<(u16, u8, u32, i64)>().prop_map(|(source, layer, timestamp, unix_nanos)| {
            Record::Anchor(Anchor { source, layer, timestamp, unix_nanos })
        }),
        1 => any::<(u16, u8)>().prop_map(|(source, layer)| Record::Restarted(Restarted { source, layer })),
        1 => (any::<i64>(), what).prop_map(|(at, what)| Record::Event(Event { at, what })),
        1 => (any::<(i64, i64, u64)>(), option::of(any::<u16>()), why).prop_map(|((from, to, packets), source, why)| {
            Record::Lost(Lost { from, to, source, why, packets })
        }),
        1 => any::<i64>().prop_map(|at| Record::Closed(Closed { at })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn records_survive_being_written_and_read(runs in vec(vec(records(), 0..12), 1..4)) {
        let folder = TempDir::new().expect("a folder");
        for run in &runs {
            write(folder.path(), run);
        }
        prop_assert_eq!(read_all(folder.path()), whole(&runs.concat()));
    }

    #[test]
    fn what_was_whole_is_read_after_any_stretch_of_damage(
        all in vec(records(), 3..16), from in 0.0..1.0f64, garbage in vec(any::<u8>(), 1..80),
    ) {
        let folder = TempDir::new().expect("a folder");
        let ends = write(folder.path(), &all);
        let path = segment(folder.path(), 1);
        let mut octets = fs::read(&path).expect("a segment");
        let begin = 26 + (from * (octets.len() - 26) as f64) as usize;
        let end = octets.len().min(begin + garbage.len());
        octets[begin..end].copy_from_slice(&garbage[..end - begin]);
        fs::write(&path, &octets).expect("room");

        let starts = [26].into_iter().chain(ends.iter().copied());
        let untouched: Vec<_> = starts.zip(&ends).zip(&all)
            .filter(|((start, stop), _)| **stop <= begin as u64 || *start >= end as u64)
            .map(|(_, record)| record.clone())
            .collect();
        let mut tail = Tail::open(folder.path(), Position::default());
        tail.finish();
        let read = only_records(read(&mut tail));
        // The garbage may happen to be what was there.
        let survived = untouched.iter().all(|record| read.contains(record));
        prop_assert!(survived, "{} of {} records, {} untouched", read.len(), all.len(), untouched.len());
        prop_assert!(read.len() <= all.len());
    }

    #[test]
    fn garbage_is_read_to_its_end(garbage in vec(any::<u8>(), 0..4_000), has_header in any::<bool>()) {
        let folder = TempDir::new().expect("a folder");
        write(folder.path(), &[]);
        let path = segment(folder.path(), 1);
        let mut octets = if has_header { fs::read(&path).expect("a segment") } else { Vec::new() };
        octets.extend(&garbage);
        fs::write(&path, &octets).expect("room");
        prop_assert!(only_records(read_all(folder.path())).is_empty());
        repair(folder.path()).expect("readable");
        write(folder.path(), &lesson());
        prop_assert_eq!(only_records(read_all(folder.path())), lesson());
    }
}
