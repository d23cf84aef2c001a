//! Metrics: names, meanings, and the recorder that Prometheus reads. Base units: seconds, bytes, ratios.

use std::sync::{Mutex, PoisonError};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Why metrics can't be collected.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The recorder was refused.
    #[error("metrics can't be collected: {0}")]
    Build(#[from] BuildError),
}

/// From a local answer to one that people notice.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// From a voice that is whole to one that can't be followed.
const CONCEALED: [f64; 7] = [0.001, 0.005, 0.01, 0.03, 0.1, 0.2, 0.5];

// A process has one recorder; several servers in one process (tests) share it.
static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Collect metrics from now on; the handle writes them down.
///
/// # Errors
/// [`MetricsError`] when another recorder is in the way.
pub fn install_metrics() -> Result<PrometheusHandle, MetricsError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("mingshi_voice_concealed_ratio".into()), &CONCEALED)?
        .install_recorder()?;
    describe();
    for name in FROM_ZERO {
        counter!(name).increment(0);
    }
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Counters of what may never happen: an alert needs them to be there before it does.
const FROM_ZERO: [&str; 9] = [
    "mingshi_recording_troubles_total",
    "mingshi_recording_uploads_failed_total",
    "mingshi_http_connections_refused_total",
    "mingshi_tls_handshakes_failed_total",
    "mingshi_lesson_pages_too_slow_total",
    "mingshi_lesson_page_messages_refused_total",
    "mingshi_guesses_limited_total",
    "mingshi_page_stats_total",
    "mingshi_log_lines_left_out_total",
];

fn describe() {
    describe_gauge!("mingshi_worker_busy_ratio", "Part of the last second in which a media thread had work, 0 to 1");
    describe_gauge!("mingshi_worker_waiting", "Messages that wait for a media thread, by queue");
    describe_histogram!("mingshi_database_duration_seconds", Unit::Seconds, "How long the database took to answer");
    describe_histogram!("mingshi_voice_concealed_ratio", "Part of the voice that a classroom had to make up");
    describe_counter!("mingshi_connections_ended_total", "Connections that ended, by why");
    describe_counter!("mingshi_page_stats_total", "Measurements that pages told");
    describe_counter!("mingshi_page_stats_refused_total", "Measurements of pages not taken, by reason");
    describe_counter!("mingshi_log_lines_left_out_total", "Log lines left out: too many of one participant");
    describe_counter!("mingshi_http_requests_total", "HTTP requests answered, by route, method and status");
    describe_histogram!(
        "mingshi_http_request_duration_seconds",
        Unit::Seconds,
        "From a request to its answer, by route"
    );
    describe_gauge!("mingshi_http_connections", "HTTP and HTTPS connections open");
    describe_counter!("mingshi_http_connections_refused_total", "Connections turned away because there were too many");
    describe_counter!("mingshi_tls_handshakes_failed_total", "TLS handshakes that came to nothing");
    describe_gauge!("mingshi_tls_certificate_expiry_seconds", Unit::Seconds, "When the certificate expires, Unix time");
    describe_counter!("mingshi_connections_asked_total", "WHIP and WHEP offers, by way and outcome");
    describe_gauge!("mingshi_connections", "WebRTC connections of a media thread");
    describe_counter!("mingshi_datagrams_received_total", "UDP datagrams received by a media thread");
    describe_counter!("mingshi_datagrams_sent_total", "Media datagrams sent by a media thread");
    describe_counter!("mingshi_send_calls_total", "Calls that sent them; datagrams over calls is the mean batch");
    describe_counter!("mingshi_sent_bytes_total", Unit::Bytes, "Octets of media datagrams sent");
    describe_counter!("mingshi_padding_bytes_total", Unit::Bytes, "Padding in them that makes batches possible");
    describe_counter!("mingshi_retransmissions_total", "Packets sent again on request");
    describe_counter!("mingshi_keyframe_requests_total", "Keyframes asked of publishers");
    describe_counter!("mingshi_dropped_total", "What a media thread let go, by reason");
    describe_gauge!("mingshi_database_writable", "1 while the database can be written to, 0 while it can't");
    describe_counter!("mingshi_database_failures_total", "Statements of the database that failed");
    describe_gauge!("mingshi_stages_unsaved", "Lessons whose stage waits to be saved");
    describe_counter!("mingshi_journal_bytes_total", Unit::Bytes, "Octets written to the journals of lessons");
    describe_counter!("mingshi_journal_packets_total", "Packets written to the journals of lessons");
    describe_counter!("mingshi_journal_lost_packets_total", "Packets that aren't in the journal, by reason");
    describe_counter!("mingshi_journal_events_dropped_total", "Events of lessons that aren't in the journal");
    describe_counter!("mingshi_journal_sync_failures_total", "Times that the disk failed to keep what was recorded");
    describe_histogram!(
        "mingshi_journal_sync_seconds",
        Unit::Seconds,
        "How long the disk took to keep what was recorded"
    );
    describe_gauge!("mingshi_journal_queue_bytes", Unit::Bytes, "Octets of media that wait for the journal");
    describe_gauge!("mingshi_journal_free_bytes", Unit::Bytes, "Free octets where recordings are kept");
    describe_gauge!("mingshi_journal_lessons", "Lessons whose journal is written");
    describe_gauge!("mingshi_journal_writable", "1 while what is received can be recorded, 0 while it can't");
    describe_gauge!("mingshi_draining", "1 from the first signal to stop on");
    describe_gauge!("mingshi_tcp_streams", "TCP streams of a media thread");
    describe_counter!(
        "mingshi_tcp_streams_accepted_total",
        "TCP connections that began as media, by what became of them"
    );
    describe_gauge!("mingshi_participants", "Participants present in lessons");
    describe_gauge!("mingshi_worker_entries", "What a media thread keeps of those who are here, by what it is");
    describe_gauge!("mingshi_lesson_entries", "What running lessons keep, by what it is");
    describe_gauge!("mingshi_websockets", "Websockets open, let in or not");
    describe_gauge!("mingshi_recordings", "Recordings, by state");
    describe_gauge!("mingshi_recording_bytes", Unit::Bytes, "Octets of the files of recordings, by state");
    describe_gauge!("mingshi_recording_processes", "Media processes that make recordings");
    describe_counter!("mingshi_recording_process_failures_total", "Media processes started again, by why");
    describe_counter!("mingshi_recording_troubles_total", "Troubles with recordings that were told");
    describe_histogram!(
        "mingshi_recording_behind_seconds",
        Unit::Seconds,
        "How far media processes are behind what is received"
    );
    describe_gauge!("mingshi_recording_disk_free_bytes", Unit::Bytes, "Room on the disk of the data folder");
    describe_gauge!("mingshi_recording_disk_nearly_full", "1 while less is free than recording.warn_free_gb");
    describe_counter!("mingshi_recordings_removed_total", "Recordings removed, by why");
    describe_counter!("mingshi_recording_uploaded_bytes_total", Unit::Bytes, "Octets sent to the object store");
    describe_counter!("mingshi_recording_uploads_failed_total", "Uploads that failed and are tried again");
    describe_counter!("mingshi_recording_sent_bytes_total", Unit::Bytes, "Octets of recordings sent, by what of");
    describe_counter!("mingshi_recording_pieces_held_total", "Pieces that waited for their turn on a school's line");
    describe_gauge!("mingshi_lesson_pages", "Lesson websockets open");
    describe_counter!("mingshi_lesson_pages_refused_total", "Lesson websockets not let in, by code");
    describe_counter!("mingshi_lesson_pages_too_slow_total", "Lesson websockets closed because they read too slowly");
    describe_counter!("mingshi_lesson_page_messages_refused_total", "Messages of pages that made no sense");
    describe_counter!(
        "mingshi_requests_limited_total",
        "Requests refused because there were too many, by what was limited"
    );
    describe_gauge!("mingshi_rate_limit_entries", "Addresses and participants that something is held against");
    describe_counter!(
        "mingshi_guesses_limited_total",
        "Join codes and operator keys refused because too many were tried"
    );
}
