//! `mingshi journal dump`: what a lesson's journal holds, record by record.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mingshi_journal::{Next, Packet, Position, Record, Tail};
use time::OffsetDateTime;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder with the journal, or of the recording that it is in.
    folder: PathBuf,
    /// Print one JSON object for each record.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let inside = arguments.folder.join("journal");
    let folder = if inside.is_dir() { inside } else { arguments.folder.clone() };
    anyhow::ensure!(folder.is_dir(), "没有这个文件夹 there is no folder {}", folder.display());
    let mut out = BufWriter::new(io::stdout().lock());
    match dump(&folder, arguments.json, &mut out).and_then(|()| Ok(out.flush()?)) {
        // Whoever reads has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        outcome => outcome,
    }
}

fn dump(folder: &Path, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut tail = Tail::open(folder, Position::default());
    tail.finish();
    loop {
        let at = tail.position();
        let next =
            tail.next().with_context(|| format!("读不了日志 the journal can't be read: {}", folder.display()))?;
        match next {
            Next::Record(record) if json => {
                let mut value = serde_json::to_value(&record)?;
                value["position"] = serde_json::to_value(at)?;
                writeln!(out, "{value}")?;
            }
            Next::Damaged { from, to } if json => {
                writeln!(out, "{}", serde_json::json!({ "record": "damaged", "position": from, "to": to }))?;
            }
            Next::Record(record) => writeln!(out, "{}:{:<9} {}", at.segment, at.offset, in_words(&record))?,
            Next::Damaged { from, to } => {
                writeln!(out, "{}:{:<9} 损坏 damaged up to {}:{}", from.segment, from.offset, to.segment, to.offset)?
            }
            Next::Waiting => return Ok(()),
        }
    }
}

fn in_words(record: &Record) -> String {
    match record {
        Record::Opened(opened) => format!("{} opened {} {}", when(opened.at), opened.lesson, opened.title),
        Record::Source(source) => format!(
            "{} source {} {} {:?} {:?} of {} rids [{}]",
            when(source.at),
            source.number,
            source.source,
            source.kind,
            source.end,
            source.participant,
            source.rids.join(" ")
        ),
        Record::SourceEnded(ended) => format!("{} source {} ended", when(ended.at), ended.number),
        Record::Packet(Packet { source, layer, codec, marker, sequence, timestamp, arrival, payload }) => format!(
            "{} packet {source}/{layer} {codec:?} {sequence} time {timestamp}{} {} octets",
            when(*arrival),
            if *marker { " marker" } else { "" },
            payload.len()
        ),
        Record::Anchor(anchor) => {
            format!("{} anchor {}/{} time {}", when(anchor.unix_nanos), anchor.source, anchor.layer, anchor.timestamp)
        }
        Record::Restarted(restarted) => format!("restarted {}/{}", restarted.source, restarted.layer),
        Record::Keeps(keeps) => {
            format!("{} of source {} layers {:?} are kept", when(keeps.at), keeps.source, keeps.layers)
        }
        Record::Event(event) => format!("{} event {:?}", when(event.at), event.what),
        Record::Lost(lost) => {
            format!("{} lost {} packets until {}: {:?}", when(lost.from), lost.packets, when(lost.to), lost.why)
        }
        Record::Closed(closed) => format!("{} closed", when(closed.at)),
    }
}

/// An instant in UTC, to the millisecond.
fn when(unix_nanos: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(unix_nanos.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second, millisecond) = time.time().as_hms_milli();
    format!("{} {hour:02}:{minute:02}:{second:02}.{millisecond:03}", time.date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mingshi_journal::{Closed, Opened, Writer};

    #[test]
    fn a_journal_is_told_in_words_and_as_json_with_its_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let (lesson, title) = ("0000000000001".into(), "古诗".into());
        let opened = Opened { lesson, title, teacher: None, subject: None, grade: None, at: 1_795_000_000_000_000_000 };
        let mut writer = Writer::open(folder.path(), 1).expect("room");
        for record in [Record::Opened(opened), Record::Closed(Closed { at: 2 }), Record::Closed(Closed { at: 3 })] {
            writer.append(&record).expect("short");
        }
        writer.flush().expect("room");
        let path = folder.path().join("00000001.journal");
        let mut octets = std::fs::read(&path).expect("a segment");
        let inside_the_second = octets.len() - 30;
        octets[inside_the_second] ^= 1;
        std::fs::write(&path, octets).expect("room");

        let told = |json| {
            let mut out = Vec::new();
            dump(folder.path(), json, &mut out).expect("readable");
            String::from_utf8(out).expect("text")
        };
        let words = told(false);
        let lines: Vec<_> = words.lines().collect();
        assert!(lines[0].ends_with("2026-11-18 11:06:40.000 opened 0000000000001 古诗"), "{words}");
        assert!(lines[1].contains("damaged up to 1:") && lines[2].ends_with("closed"), "{words}");
        let first: serde_json::Value = serde_json::from_str(told(true).lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["record"], "opened");
        assert_eq!(first["title"], "古诗");
    }
}
