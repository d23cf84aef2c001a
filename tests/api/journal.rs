//! What stands in a lesson's journal besides media.

use std::time::Duration;

use mingshi_journal::{Next, Position, Record, Tail, What};
use serde_json::{Value, json};

use crate::events::Page;
use crate::support::{Site, id, path};

fn records(site: &Site, lesson: &Value) -> Vec<Record> {
    let recordings = site.data().join("data/recordings");
    let mut tail = Tail::open(&mingshi::journal::folder(&recordings, id(lesson, "id")), Position::default());
    let mut records = Vec::new();
    while let Next::Record(record) = tail.next().expect("readable") {
        records.push(record);
    }
    records
}

/// Waits until the journal says so.
async fn until(site: &Site, lesson: &Value, what: &str, so: impl Fn(&[Record]) -> bool) -> Vec<Record> {
    for _ in 0..500 {
        let records = records(site, lesson);
        if so(&records) {
            return records;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {:?}", records(site, lesson));
}

fn events(records: &[Record]) -> Vec<&What> {
    let events = records.iter().filter_map(|record| match record {
        Record::Event(event) => Some(&event.what),
        _ => None,
    });
    events.collect()
}

#[tokio::test]
async fn who_comes_raises_a_hand_and_goes_is_written_from_the_beginning_of_a_lesson_to_its_end() {
    let site = Site::recorded().await;
    let operator = site.operator().await;
    let lesson = site.lesson(&operator, false).await;
    let studio = site.token(&operator, &lesson, "studio").await;
    let classroom = site.token(&operator, &lesson, "classroom").await;
    let early = Page::open(&site, &lesson, &studio).await;
    assert!(records(&site, &lesson).is_empty(), "a rehearsal isn't written");
    site.post(&path(&lesson, "/start"), &studio, json!({})).await.expect(200);
    let joined = |role: &'static str| move |what: &&What| matches!(what, What::Joined { role: said, name, .. } if said == role && name == "王老师");
    until(&site, &lesson, "who was there", |all| events(all).iter().any(joined("studio"))).await;
    let mut page = Page::open(&site, &lesson, &classroom).await;
    page.say(json!({ "type": "hand", "raised": true })).await;
    let raised = |what: &&What| matches!(what, What::Hand { raised: true, .. });
    until(&site, &lesson, "a hand", |all| events(all).iter().any(raised)).await;
    drop(page);
    let left = |what: &&What| matches!(what, What::Left { .. });
    until(&site, &lesson, "who went", |all| events(all).iter().any(left)).await;
    site.post(&path(&lesson, "/end"), &studio, json!({})).await.expect(200);
    let closed = |all: &[Record]| matches!(all.last(), Some(Record::Closed(_)));
    let all = until(&site, &lesson, "the end", closed).await;
    let Record::Opened(opened) = &all[0] else { panic!("{:?}", all[0]) };
    assert_eq!(opened.title, "五年级英语");
    assert!(events(&all).iter().any(joined("classroom")));
    drop(early);
}

#[tokio::test]
async fn a_restart_goes_on_with_the_journal_and_what_ended_meanwhile_is_closed() {
    let site = Site::recorded().await;
    let operator = site.operator().await;
    let (goes_on, ends) = (site.lesson(&operator, true).await, site.lesson(&operator, true).await);
    for lesson in [&goes_on, &ends] {
        until(&site, lesson, "the beginning", |all| !all.is_empty()).await;
    }
    assert_eq!(site.running.journal.as_ref().expect("it is recorded").recorded().len(), 2);
    // As a process that is killed between the one and the other leaves it.
    let mut over = site.running.state.store.lesson(id(&ends, "id")).await.expect("readable").expect("it is kept");
    let before = over.state;
    over.end(site.now()).expect("it is live");
    assert!(site.running.state.store.move_lesson(&over, before).await.expect("moved"));

    let site = site.restart().await;
    let all = until(&site, &goes_on, "the second run", |all| all.len() >= 2).await;
    assert!(all.iter().all(|record| matches!(record, Record::Opened(_) | Record::Event(_))), "{all:?}");
    let all = records(&site, &ends);
    assert!(matches!(all[..], [Record::Opened(_), .., Record::Opened(_), Record::Closed(_)]), "{all:?}");
}
