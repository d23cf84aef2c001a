//! RTP time on the server's clock.
//!
//! Sender reports anchor a stream's timestamps to the server's clock. Before a stream's first one, the packets that were
//! least late must do, less what those of other streams of the same connection are late at that moment: a studio that is
//! busy when it begins sends everything late. Differences are followed slowly, so that neither pictures nor voice jerk,
//! and all streams of a connection move together.

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
/// A difference from here on is no delay but another clock.
const STEP: i64 = 2 * SECOND;
/// Timestamps that are this far from their arrival belong to a stream that began anew without saying so.
const LOST: i64 = 10 * SECOND;
/// Nobody reports: the earliest arrival of so many nanoseconds of media is taken for an anchor.
const UNREPORTED: i64 = 10 * SECOND;
/// A difference is followed by at most one nanosecond in so many; one that can be seen and heard, sooner.
const SLEW: i64 = 100;
const SLEW_LARGE: i64 = 20;
/// Differences from here on are no jitter: they can be seen and heard.
const LARGE: i64 = SECOND / 25;
/// An anchor counts for a fourth: reports jitter as packets do.
const WEIGHT: i64 = 4;
/// What the least delay grows by when packets don't come sooner: one nanosecond in so many.
const FORGETS: i64 = 10;

/// What a stream's times rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Basis {
    /// Its packets' arrivals.
    Arrivals,
    /// Those, less what other streams of its connection are late.
    Others,
    /// A sender report.
    Reports,
}

/// What one stream's report says of all streams of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    by: i64,
    /// Whether it was the stream's first report: news only for those that go by their arrivals.
    is_first: bool,
}

/// One stream's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MediaClock {
    rate: u32,
    /// The latest timestamp with its wraps counted.
    ticks: Option<i64>,
    /// What is added to media time, and where it is going.
    offset: i64,
    target: i64,
    basis: Basis,
    /// Whether something has its place on the time line: from then on times don't jump.
    is_dated: bool,
    /// Media time at which the offset was moved last.
    moved_at: i64,
    /// Of the packets of the last seconds the least time between media time and arrival, and the latest media time.
    least: Option<(i64, i64)>,
    /// Since when, and by how much at least, packets arrive after their media time.
    unreported: Option<(i64, i64)>,
}

impl MediaClock {
    /// The clock of a stream with `rate` ticks a second.
    pub(super) const fn new(rate: u32) -> Self {
        Self {
            rate,
            ticks: None,
            offset: 0,
            target: 0,
            basis: Basis::Arrivals,
            is_dated: false,
            moved_at: 0,
            least: None,
            unreported: None,
        }
    }

    /// Whether a sender report has told its time.
    pub(super) const fn is_anchored(&self) -> bool {
        matches!(self.basis, Basis::Reports)
    }

    /// By how many nanoseconds its packets arrive late at present, if that is known.
    pub(super) fn lateness(&self) -> Option<i64> {
        self.least.filter(|_| self.is_anchored()).map(|(least, _)| least - self.target)
    }

    /// A packet that isn't dated yet came at `arrival`.
    pub(super) fn arrived(&mut self, timestamp: u32, arrival: i64) {
        if self.ticks.is_none() {
            self.ticks = Some(i64::from(timestamp));
        }
        let media = self.media(timestamp);
        self.ticks = Some(self.unwrapped(timestamp));
        self.measure(media, arrival);
    }

    /// Begin to date packets; those of other streams of the connection are `late` at present, if that is known.
    pub(super) fn begin(&mut self, late: Option<i64>) {
        if let Some((least, media)) = self.least
            && !self.is_dated
        {
            if !self.is_anchored() {
                self.target = least - late.unwrap_or(0);
                self.basis = late.map_or(Basis::Arrivals, |_| Basis::Others);
            }
            (self.offset, self.moved_at, self.is_dated) = (self.target, media, true);
        }
    }

    /// The server's time of `timestamp`, in nanoseconds since 1970; its packet came at `arrival`.
    pub(super) fn instant(&mut self, timestamp: u32, arrival: i64) -> i64 {
        let mut media = self.media(timestamp);
        if !self.is_dated || (media + self.offset - arrival).abs() > LOST {
            self.ticks = Some(i64::from(timestamp));
            media = self.media(timestamp);
            (self.offset, self.target, self.moved_at) = (arrival - media, arrival - media, media);
            (self.basis, self.is_dated, self.least, self.unreported) = (Basis::Arrivals, true, None, None);
        }
        self.ticks = Some(self.unwrapped(timestamp));
        self.measure(media, arrival);
        if self.basis == Basis::Arrivals {
            self.guess(media, arrival);
        }
        let difference = self.target - self.offset;
        let slew = if difference.abs() > LARGE { SLEW_LARGE } else { SLEW };
        let step = ((media - self.moved_at) / slew).max(0);
        self.offset += difference.clamp(-step, step);
        self.moved_at = self.moved_at.max(media);
        media + self.offset
    }

    /// Media time `timestamp` was at `instant` of the server's clock. Returns what other streams of the connection have to
    /// know of it.
    pub(super) fn anchor(&mut self, timestamp: u32, instant: i64) -> Option<Shift> {
        if self.ticks.is_none() {
            self.ticks = Some(i64::from(timestamp));
        }
        let measured = instant - self.media(timestamp);
        let is_first = !self.is_anchored();
        let before = if self.is_dated { Some(self.target) } else { self.least.map(|(least, _)| least) };
        let by = before.map(|before| measured - before);
        if is_first || (measured - self.target).abs() > LARGE {
            self.target = measured;
        } else {
            self.target += (measured - self.target) / WEIGHT;
        }
        self.settle();
        self.basis = Basis::Reports;
        // The server knows a publisher's clock the better the more reports have come, and only ever corrects it towards
        // earlier times; whatever else changes is this stream's own affair.
        by.filter(|by| is_first || *by < -LARGE).map(|by| Shift { by, is_first })
    }

    /// Another stream of the connection was reported.
    pub(super) fn follow(&mut self, shift: Shift) {
        if !self.is_dated || shift.is_first != (self.basis == Basis::Arrivals) {
            return;
        }
        self.target += shift.by;
        if shift.is_first {
            self.basis = Basis::Others;
        }
        self.settle();
    }

    /// What is too much to be approached, or needn't be because nothing has its place yet, is done at once.
    const fn settle(&mut self) {
        if !self.is_dated || (self.target - self.offset).abs() > STEP {
            self.offset = self.target;
        }
    }

    fn measure(&mut self, media: i64, arrival: i64) {
        let behind = arrival - media;
        self.least = Some(match self.least {
            None => (behind, media),
            Some((least, latest)) => {
                let passed = (media - latest).max(0);
                (behind.min(least.saturating_add(passed / FORGETS)), latest.max(media))
            }
        });
    }

    fn guess(&mut self, media: i64, arrival: i64) {
        let behind = arrival - media;
        let (since, least) = self.unreported.unwrap_or((media, behind));
        if media - since > UNREPORTED {
            self.target += (least - self.target) / WEIGHT;
            self.unreported = Some((media, behind));
        } else {
            self.unreported = Some((since, least.min(behind)));
        }
    }

    fn unwrapped(&self, timestamp: u32) -> i64 {
        let latest = self.ticks.unwrap_or(i64::from(timestamp));
        latest + i64::from(timestamp.wrapping_sub(latest as u32) as i32)
    }

    fn media(&self, timestamp: u32) -> i64 {
        (i128::from(self.unwrapped(timestamp)) * i128::from(SECOND) / i128::from(self.rate)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_512_345 * SECOND;

    /// Ninety minutes of a sender whose clock is 100 ppm fast; reports every five seconds jitter by 5 ms.
    #[test]
    fn ninety_minutes_of_a_fast_clock_stay_within_ten_milliseconds() {
        let mut clock = MediaClock::new(90_000);
        let (mut worst, mut last) = (0, i64::MIN);
        for frame in 0..90 * 60 * 15_i64 {
            let truth = START + frame * SECOND / 15;
            let ticks = (i128::from(frame) * 6_000 * 1_000_100 / 1_000_000) as u32;
            let timestamp = ticks.wrapping_add(u32::MAX - 90_000);
            if frame % 75 == 7 {
                clock.anchor(timestamp, truth + (frame % 11 - 5) * 1_000_000);
            }
            let told = clock.instant(timestamp, truth + 40_000_000 + frame % 7 * 3_000_000);
            assert!(told > last, "time goes on");
            last = told;
            if frame > 15 * 30 {
                worst = worst.max((told - truth).abs());
            }
        }
        assert!(worst < 10_000_000, "{worst} ns");
    }

    #[test]
    fn a_sender_that_never_reports_is_followed_by_its_arrivals() {
        let mut clock = MediaClock::new(48_000);
        let mut worst = 0;
        for packet in 0..90 * 60 * 50_i64 {
            let truth = START + packet * SECOND / 50;
            let timestamp = (i128::from(packet) * 960 * 999_900 / 1_000_000) as u32;
            let told = clock.instant(timestamp, truth + packet % 9 * 4_000_000);
            worst = worst.max((told - truth).abs());
        }
        assert!(worst < 20_000_000, "{worst} ns");
    }

    #[test]
    fn a_report_after_the_beginning_is_approached_without_a_jump_and_a_wrong_stream_begins_anew() {
        let mut clock = MediaClock::new(90_000);
        assert_eq!(clock.instant(1_000, START), START);
        clock.anchor(1_000, START - 100_000_000);
        let second = clock.instant(91_000, START + SECOND);
        assert_eq!(second, START + SECOND - 50_000_000, "a twentieth of a second in a second");
        let elsewhere = clock.instant(3_000_000_000, START + 2 * SECOND);
        assert_eq!(elsewhere, START + 2 * SECOND);
    }

    #[test]
    fn what_came_before_the_first_report_is_dated_by_it_if_it_was_held() {
        let mut clock = MediaClock::new(90_000);
        for frame in 0..10 {
            clock.arrived(frame * 6_000, START + 1_300_000_000);
        }
        clock.anchor(27_000, START + 300_000_000);
        clock.begin(None);
        for frame in 0..10 {
            let told = clock.instant(frame * 6_000, START + 1_300_000_000);
            assert_eq!(told, START + i64::from(frame) * SECOND / 15);
        }
    }

    /// A busy studio whose packets come a second late, and whose streams report five seconds after one another.
    #[test]
    fn voice_and_pictures_make_a_second_up_together() {
        let (mut voice, mut pictures) = (MediaClock::new(48_000), MediaClock::new(90_000));
        let arrival = |truth: i64| truth + if truth < START + 8 * SECOND { SECOND } else { 40_000_000 };
        for clock in [&mut voice, &mut pictures] {
            clock.arrived(0, arrival(START));
            clock.begin(None);
        }
        let mut apart = 0;
        for packet in 0..30 * 50_i64 {
            let truth = START + packet * SECOND / 50;
            let heard = voice.instant((packet * 960) as u32, arrival(truth));
            let seen = pictures.instant((packet * 1_800) as u32, arrival(truth));
            apart = apart.max((heard - seen).abs());
            if packet > 22 * 50 {
                assert!((heard - truth).abs() < 60_000_000, "{} ms late", (heard - truth) / 1_000_000);
            }
            // The first reports travel half as long as the packets.
            let travels = if packet < 300 { SECOND / 2 } else { 0 };
            if packet % 250 == 100 {
                voice.anchor((packet * 960) as u32, truth + travels).into_iter().for_each(|by| pictures.follow(by));
            }
            if packet % 250 == 200 {
                pictures.anchor((packet * 1_800) as u32, truth + travels).into_iter().for_each(|by| voice.follow(by));
            }
        }
        assert!(apart <= 80_000_000, "{} ms apart", apart / 1_000_000);
    }

    #[test]
    fn a_stream_without_a_report_is_taken_to_be_as_late_as_those_that_have_one() {
        let (mut voice, mut pictures) = (MediaClock::new(48_000), MediaClock::new(90_000));
        pictures.arrived(0, START + SECOND);
        pictures.anchor(0, START);
        voice.arrived(0, START + 1_010_000_000);
        pictures.begin(None);
        voice.begin(pictures.lateness());
        assert_eq!(voice.instant(0, START + 1_010_000_000), START + 10_000_000);
        assert_eq!(voice.anchor(0, START), Some(Shift { by: -10_000_000, is_first: true }));
        pictures.follow(Shift { by: -10_000_000, is_first: true });
        assert_eq!(pictures.instant(0, START + SECOND), START, "its own report counts for more");
    }
}
