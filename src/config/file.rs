//! The file as it is written: plain texts and numbers, not yet checked.

use serde::{Deserialize, Serialize};

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) media: Media,
    pub(super) turn: Turn,
    pub(super) tls: Tls,
    pub(super) auth: Auth,
    pub(super) log: Log,
    pub(super) metrics: Metrics,
    pub(super) recording: Recording,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) data: String,
    pub(super) http: String,
    pub(super) https: String,
    pub(super) public_url: String,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) max_connections: u32,
    pub(super) max_connections_per_address: u32,
    pub(super) drain_seconds: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data: "data".into(),
            http: "127.0.0.1:8080".into(),
            https: "0.0.0.0:8443".into(),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            max_connections: 4096,
            max_connections_per_address: 1024,
            drain_seconds: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Media {
    pub(super) workers: u16,
    pub(super) udp_port: u16,
    pub(super) tcp_port: u16,
    pub(super) bind_address: String,
    pub(super) public_addresses: Vec<String>,
    pub(super) max_connections_per_worker: u32,
    pub(super) max_unfinished_per_address: u32,
    pub(super) tiers: String,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            workers: 0,
            udp_port: 20_000,
            tcp_port: 0,
            bind_address: String::new(),
            public_addresses: Vec::new(),
            max_connections_per_worker: 2000,
            max_unfinished_per_address: 400,
            tiers: String::new(),
        }
    }
}

/// Without `Debug`: the secret stands in no log.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Turn {
    pub(super) urls: Vec<String>,
    pub(super) secret: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) lesson_token_minutes: u32,
    pub(super) operator_token_hours: u32,
    pub(super) join_attempts_per_minute: u32,
    pub(super) requests_per_address_per_minute: u32,
    pub(super) requests_per_participant_per_minute: u32,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            lesson_token_minutes: 15,
            operator_token_hours: 12,
            join_attempts_per_minute: 30,
            requests_per_address_per_minute: 3_000,
            requests_per_participant_per_minute: 120,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) filter: String,
    pub(super) json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) lessons: u32,
    pub(super) per_connection: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { lessons: 200, per_connection: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Recording {
    pub(super) enabled: bool,
    pub(super) keyframe_seconds: u32,
    pub(super) storage: String,
    pub(super) keep_days: u32,
    pub(super) quota_gb: u32,
    pub(super) keep_journal_days: u32,
    pub(super) warn_free_gb: u32,
    pub(super) stop_free_gb: u32,
    pub(super) transcode_cores: f64,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            enabled: true,
            keyframe_seconds: 10,
            storage: String::new(),
            keep_days: 0,
            quota_gb: 0,
            keep_journal_days: 7,
            warn_free_gb: 10,
            stop_free_gb: 2,
            transcode_cores: 1.0,
        }
    }
}
