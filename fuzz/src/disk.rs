//! What is read back from the disk, whatever became of it there.

use std::cell::RefCell;
use std::fs;

use mingshi_journal::{Closed, Next, Position, Record, Tail, Writer, repair};
use tempfile::TempDir;

/// A journal of any octets is read to its end, each piece once, from anywhere; what is appended afterwards is whole.
pub(crate) fn journal(data: &[u8]) {
    thread_local!(static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) });
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| TempDir::new().expect("a folder for temporary files")).path();
        for entry in fs::read_dir(folder).expect("it was made above") {
            fs::remove_file(entry.expect("an entry").path()).expect("it is ours");
        }
        fs::write(folder.join("00000001.journal"), data).expect("room");
        let (records, stops) = read(folder);
        for stop in stops {
            let mut tail = Tail::open(folder, stop);
            tail.finish();
            assert!(tail.next().is_ok(), "a place that was told can't be read from");
        }
        let repaired = repair(folder).expect("it could be read");
        assert!(repaired.cut <= data.len() as u64);
        let last = Record::Closed(Closed { at: 1 });
        let mut writer = Writer::open(folder, 1).expect("room");
        writer.append(&last).expect("short");
        writer.flush().expect("room");
        let (mut again, _) = read(folder);
        // Of a segment of a later version nothing is read, nor what follows it.
        if let Some(read) = again.pop() {
            assert_eq!(read, last);
            assert_eq!(again, records, "a repair loses nothing that is whole");
        }
    });
}

/// All records, and the places at which the reader stood.
fn read(folder: &std::path::Path) -> (Vec<Record>, Vec<Position>) {
    let (mut records, mut stops) = (Vec::new(), Vec::new());
    let mut tail = Tail::open(folder, Position::default());
    tail.finish();
    loop {
        let before = tail.position();
        match tail.next() {
            Ok(Next::Record(record)) => records.push(record),
            Ok(Next::Damaged { from, to }) => assert!(from < to && from >= before, "damage of no extent"),
            Ok(Next::Waiting) | Err(_) => break,
        }
        assert!(tail.position() > before, "a reader that stands still");
        if stops.len() < 16 {
            stops.push(tail.position());
        }
    }
    (records, stops)
}
