//! The configuration: a TOML file, overridden by the environment, checked before anything starts.
//!
//! Every option stands with its meaning in config/mingshi.toml, which equals the defaults.

mod file;
mod keys;
mod recording;
mod tiers;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use time::Duration;

use crate::adapt::Tiers;
use crate::auth::{Lifetimes, Network, Turn};
use crate::units::Bitrate;
use file::File;

pub use recording::Recording;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("line {line}: {said}")]
    Syntax {
        /// Where, counted from 1.
        line: usize,
        /// What the parser said.
        said: String,
    },
    /// The file has a section or key that means nothing.
    #[error("line {line}: there is no option {key}{}", meant(.nearest.as_deref()))]
    UnknownKey {
        /// Where, counted from 1.
        line: usize,
        /// The key, with its section.
        key: String,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// The environment has a variable that means nothing.
    #[error("the environment variable {variable} is no option{}", meant(.nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// A value doesn't fit.
    #[error("{key}: {fact}")]
    Value {
        /// The option, as `server.http`, or the environment variable.
        key: String,
        /// What is wrong.
        fact: String,
    },
}

fn meant(word: Option<&str>) -> String {
    word.map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The web server.
    pub server: Server,
    /// The media workers.
    pub media: Media,
    /// TURN servers of the operator's, if any.
    pub turn: Option<Turn>,
    /// Certificates.
    pub tls: Tls,
    /// Tokens and guessing.
    pub auth: Auth,
    /// The log.
    pub log: Log,
    /// Series of lessons and connections.
    pub metrics: Metrics,
    /// Recordings.
    pub recording: Recording,
}

/// Which series of their own lessons and connections have in `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// So many lessons at most have series of their own.
    pub lessons: usize,
    /// Whether each of their connections has.
    pub per_connection: bool,
}

/// The web server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Data folder.
    pub data: PathBuf,
    /// HTTP listening address.
    pub http: Option<SocketAddr>,
    /// HTTPS listening address.
    pub https: Option<SocketAddr>,
    /// How the site is reached from outside, without a slash at the end.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How many HTTP and HTTPS connections are kept at most.
    pub max_connections: usize,
    /// Of them, those of one client address.
    pub max_connections_per_address: usize,
    /// How long a stop waits for lessons on air to end.
    pub drain: std::time::Duration,
}

/// The media workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// How many; `None` = one per core.
    pub workers: Option<usize>,
    /// UDP port of the first.
    pub udp_port: u16,
    /// TCP port for media alone, besides those of pages; `None` = no other.
    pub tcp_port: Option<u16>,
    /// Local address to listen on; `None` = all.
    pub bind_address: Option<IpAddr>,
    /// Addresses that browsers are told; none = those of the local interfaces.
    pub public_addresses: Vec<IpAddr>,
    /// Connections per worker at most.
    pub max_connections_per_worker: usize,
    /// Of them, those of one client address that have not come up.
    pub max_unfinished_per_address: usize,
    /// How lessons are brought over lines of each kind.
    pub tiers: Tiers,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificate and key files; `None` = an authority of our own.
    pub files: Option<CertificateFiles>,
    /// What else the self-made certificate is for.
    pub names: Vec<String>,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Tokens and guessing.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    /// How long tokens live.
    pub lifetimes: Lifetimes,
    /// How many wrong codes or keys an address may try in a minute.
    pub join_attempts_per_minute: u32,
    /// How often an address may ask for tokens, connections and websockets in a minute.
    pub requests_per_address_per_minute: u32,
    /// How often a participant may.
    pub requests_per_participant_per_minute: u32,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// What is logged.
    pub filter: String,
    /// Whether as lines of JSON.
    pub json: bool,
}

impl Media {
    /// How many workers there are on a machine with so many cores. One port below 1024 is all that browsers take, and a worker has a
    /// port of its own.
    #[must_use]
    pub fn workers_on(&self, cores: usize) -> usize {
        self.workers.unwrap_or(if self.udp_port < 1_024 { 1 } else { cores }).clamp(1, crate::id::MAX_WORKERS)
    }

    /// What lessons may use at most of a line of this tier, sold as `nominal` of which lessons may use `share`, and measured to
    /// carry `measured`, as far as each is known; of one of which nothing is known, what is spent on it at first.
    #[must_use]
    pub fn most(
        &self,
        tier: Option<&str>,
        nominal: Option<Bitrate>,
        share: Option<f32>,
        measured: Option<Bitrate>,
    ) -> Bitrate {
        let nominal = nominal.or_else(|| tier.and_then(|tier| self.tiers.named(tier)?.line.nominal));
        let mut line = self.tiers.of(nominal.into_iter().chain(measured).min()).line;
        line.share = share.unwrap_or(line.share);
        line.most().unwrap_or(line.start)
    }

    /// Where the port for media alone is listened on.
    #[must_use]
    pub fn tcp_listening(&self) -> Option<SocketAddr> {
        let ip = self.bind_address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        self.tcp_port.map(|port| SocketAddr::new(ip, port))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::valid(File::default()).expect("the defaults are valid, as the tests below show")
    }
}

impl Config {
    /// Read a file (or none), and what the environment overrides.
    ///
    /// # Errors
    /// [`Error`] says what is wrong, and where.
    pub fn load(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?,
            None => String::new(),
        };
        Self::parse(&text, environment)
    }

    /// From a file's text, and what the environment overrides.
    ///
    /// # Errors
    /// [`Error`] says what is wrong, and where.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        keys::check(text)?;
        let file = toml::from_str(text).map_err(|error| keys::syntax(text, &error))?;
        Self::valid(keys::overridden(file, environment)?)
    }

    fn valid(file: File) -> Result<Self, Error> {
        let File { server, media, turn, tls, auth, log, metrics, recording } = file;
        if server.http.is_empty() && server.https.is_empty() {
            return Err(value("server.http", "both http and https are off: nobody could reach the server"));
        }
        if server.data.is_empty() {
            return Err(value("server.data", "a folder is needed"));
        }
        Ok(Self {
            server: Server {
                data: server.data.into(),
                http: listening("server.http", &server.http)?,
                https: listening("server.https", &server.https)?,
                public_url: url("server.public_url", &server.public_url)?,
                trusted_proxies: each("server.trusted_proxies", &server.trusted_proxies)?,
                max_connections: in_range("server.max_connections", server.max_connections, 16, 1_000_000)? as usize,
                max_connections_per_address: in_range(
                    "server.max_connections_per_address",
                    server.max_connections_per_address,
                    1,
                    1_000_000,
                )? as usize,
                drain: std::time::Duration::from_secs(
                    in_range("server.drain_seconds", server.drain_seconds, 0, 14_400)?.into(),
                ),
            },
            media: media_settings(media)?,
            turn: turn_servers(turn)?,
            tls: Tls { files: files(&tls.certificate, &tls.key)?, names: tls.names },
            auth: Auth {
                lifetimes: Lifetimes {
                    lesson: Duration::minutes(
                        in_range("auth.lesson_token_minutes", auth.lesson_token_minutes, 1, 1440)?.into(),
                    ),
                    operator: Duration::hours(
                        in_range("auth.operator_token_hours", auth.operator_token_hours, 1, 168)?.into(),
                    ),
                },
                join_attempts_per_minute: in_range(
                    "auth.join_attempts_per_minute",
                    auth.join_attempts_per_minute,
                    1,
                    100_000,
                )?,
                requests_per_address_per_minute: in_range(
                    "auth.requests_per_address_per_minute",
                    auth.requests_per_address_per_minute,
                    1,
                    1_000_000,
                )?,
                requests_per_participant_per_minute: in_range(
                    "auth.requests_per_participant_per_minute",
                    auth.requests_per_participant_per_minute,
                    1,
                    100_000,
                )?,
            },
            log: Log { filter: log_filter(log.filter)?, json: log.json },
            metrics: Metrics {
                lessons: in_range("metrics.lessons", metrics.lessons, 0, 100_000)? as usize,
                per_connection: metrics.per_connection,
            },
            recording: recording::valid(recording)?,
        })
    }
}

fn value(key: &str, fact: impl Into<String>) -> Error {
    Error::Value { key: key.into(), fact: fact.into() }
}

fn in_range<N: PartialOrd + std::fmt::Display>(key: &str, given: N, least: N, most: N) -> Result<N, Error> {
    if given < least || given > most {
        return Err(value(key, format!("{given} is not between {least} and {most}")));
    }
    Ok(given)
}

fn listening(key: &str, text: &str) -> Result<Option<SocketAddr>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| value(key, format!("{text:?} is not an address and port such as 0.0.0.0:8443 or [::]:8443"));
    text.parse().map(Some).map_err(wrong)
}

fn url(key: &str, text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(['#', '?', ' ']) => {
            Ok(Some(text.trim_end_matches('/').into()))
        }
        _ => Err(value(key, format!("{text:?} is not an address such as https://ke.example.cn"))),
    }
}

fn each<T: std::str::FromStr>(key: &str, texts: &[String]) -> Result<Vec<T>, Error>
where
    T::Err: std::fmt::Display,
{
    let parse = |text: &String| text.parse().map_err(|error: T::Err| value(key, format!("{text:?}: {error}")));
    texts.iter().map(parse).collect()
}

fn present(text: String) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text] }
}

fn files(certificate: &str, key: &str) -> Result<Option<CertificateFiles>, Error> {
    match (certificate, key) {
        ("", "") => Ok(None),
        ("", _) => Err(value("tls.certificate", "a key without its certificate")),
        (_, "") => Err(value("tls.key", "a certificate without its key")),
        (certificate, key) => Ok(Some(CertificateFiles { certificate: certificate.into(), key: key.into() })),
    }
}

fn media_settings(media: file::Media) -> Result<Media, Error> {
    let workers = usize::from(in_range("media.workers", media.workers, 0, crate::id::MAX_WORKERS as u16)?);
    if usize::from(media.udp_port) + workers.max(1) > 1 + usize::from(u16::MAX) || media.udp_port == 0 {
        return Err(value("media.udp_port", format!("{} leaves no port for {workers} workers", media.udp_port)));
    }
    if media.udp_port < 1_024 && workers > 1 {
        let fact = format!(
            "browsers take no media on UDP ports below 1024 but 443 and 80, so {} is for one media thread: leave media.workers at 0 or set it \
             to 1, which carries some 2000 classrooms, or set media.udp_port to 20000 (浏览器只接受 443、80 这两个低位 UDP \
             端口，一个端口只供一个媒体线程：把 media.workers 设为 0 或 1，可带约 2000 间教室；或把 media.udp_port 设为 20000)",
            media.udp_port
        );
        return Err(value("media.workers", fact));
    }
    Ok(Media {
        workers: (workers > 0).then_some(workers),
        udp_port: media.udp_port,
        tcp_port: (media.tcp_port > 0).then_some(media.tcp_port),
        bind_address: each("media.bind_address", &present(media.bind_address))?.pop(),
        public_addresses: each("media.public_addresses", &media.public_addresses)?,
        max_connections_per_worker: in_range(
            "media.max_connections_per_worker",
            media.max_connections_per_worker,
            1,
            100_000,
        )? as usize,
        max_unfinished_per_address: in_range(
            "media.max_unfinished_per_address",
            media.max_unfinished_per_address,
            1,
            100_000,
        )? as usize,
        tiers: tiers::load(&media.tiers)?,
    })
}

fn turn_servers(turn: file::Turn) -> Result<Option<Turn>, Error> {
    match (turn.urls.is_empty(), turn.secret.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err(value("turn.urls", "a secret without the servers that share it")),
        (false, true) => Err(value("turn.secret", "TURN servers without the secret that is shared with them")),
        (false, false) => {
            Turn::new(turn.urls, turn.secret).map(Some).map_err(|error| value("turn.urls", error.to_string()))
        }
    }
}

fn log_filter(filter: String) -> Result<String, Error> {
    match filter.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(filter),
        Err(error) => Err(value("log.filter", format!("{filter:?}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, []).map_err(|error| error.to_string())
    }

    fn with_variable(name: &str, value: &str) -> Result<Config, String> {
        Config::parse("", [(name.to_owned(), value.to_owned())]).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_that_is_shipped_holds_the_defaults_and_every_option() {
        let shipped = include_str!("../config/mingshi.toml");
        assert_eq!(parse(shipped), Ok(Config::default()));
        assert_eq!(parse(""), Ok(Config::default()));
        let written: toml::Table = shipped.parse().expect("it was parsed above");
        let known = toml::Table::try_from(File::default()).expect("the file's types are TOML's");
        assert_eq!(written, known, "every option is in the file");
    }

    #[test]
    fn a_single_port_such_as_443_is_for_one_media_thread() {
        let workers = |text: &str| parse(text).map(|config| config.media.workers_on(8));
        assert_eq!(workers(""), Ok(8));
        assert_eq!(workers("[media]\nudp_port = 443\n"), Ok(1));
        assert_eq!(workers("[media]\nudp_port = 443\nworkers = 1\n"), Ok(1));
        assert_eq!(workers("[media]\nworkers = 3\n"), Ok(3));
        assert!(workers("[media]\nudp_port = 443\nworkers = 2\n").is_err());
    }

    #[test]
    fn a_key_that_means_nothing_is_named_with_its_line_and_the_key_that_was_meant() {
        let text = "[server]\nhttp = \"\"\nhtpps = \"0.0.0.0:443\"\n";
        assert_eq!(parse(text), Err("line 3: there is no option server.htpps; did you mean server.https?".into()));
        let text = "[media]\nworkers = 2\n\n[sever]\ndata = \"x\"\n";
        assert_eq!(parse(text), Err("line 4: there is no option sever; did you mean server?".into()));
        let text = "[server]\nudp_port = 3\n";
        assert_eq!(parse(text), Err("line 2: there is no option server.udp_port; did you mean media.udp_port?".into()));
        let text = "[server]\nzzzzzzzzzzz = 3\n";
        assert_eq!(parse(text), Err("line 2: there is no option server.zzzzzzzzzzz".into()));
    }

    #[test]
    fn values_that_do_not_fit_are_told_in_words() {
        for (text, part) in [
            ("[server\n", "line 1: "),
            ("[media]\n\nudp_port = \"x\"\n", "line 3: invalid type: string \"x\", expected u16"),
            ("[media]\nudp_port = 70000\n", "line 2: "),
            ("[media]\nworkers = 65\n", "media.workers: 65 is not between 0 and 64"),
            ("[media]\nudp_port = 443\nworkers = 2\n", "media.workers: browsers take no media on UDP ports below 1024"),
            ("[media]\nudp_port = 65535\nworkers = 2\n", "media.udp_port: 65535 leaves no port for 2 workers"),
            ("[media]\npublic_addresses = [\"here\"]\n", "media.public_addresses: \"here\": invalid IP address"),
            ("[server]\nhttps = \"8443\"\n", "server.https: \"8443\" is not an address and port"),
            ("[server]\nhttp = \"\"\nhttps = \"\"\n", "nobody could reach the server"),
            ("[server]\ntrusted_proxies = [\"10.0.0.0/40\"]\n", "server.trusted_proxies: "),
            ("[server]\npublic_url = \"ke.example.cn\"\n", "server.public_url: "),
            ("[turn]\nurls = [\"turn:a\"]\n", "turn.secret: "),
            ("[turn]\nsecret = \"s\"\n", "turn.urls: "),
            ("[turn]\nsecret = 123456\n", "line 2: turn.secret is a text, in quotes"),
            ("[turn]\nsecret = \"s\"\nurls = [\"stun:a\"]\n", "turn.urls: \"stun:a\" is not a TURN address"),
            ("[tls]\nkey = \"k.pem\"\n", "tls.certificate: a key without its certificate"),
            ("[auth]\nlesson_token_minutes = 0\n", "auth.lesson_token_minutes: 0 is not between 1 and 1440"),
            ("[log]\nfilter = \"mingshi=loudly\"\n", "log.filter: "),
            ("[recording]\nstorage = \"s4://x\"\n", "recording.storage: \"s4://x\" is neither"),
            ("[recording]\nstop_free_gb = 20\n", "recording.warn_free_gb: the warning has to come before"),
            ("[recording]\ntranscode_cores = 0.0\n", "recording.transcode_cores: 0 is not between 0.1 and 64"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(part), "{text:?} gave {said:?}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = with_variable("MINGSHI_SERVER_HTTP", "0.0.0.0:80").expect("an address");
        assert_eq!(config.server.http, "0.0.0.0:80".parse().ok());
        let config = with_variable("MINGSHI_MEDIA_PUBLIC_ADDRESSES", "192.0.2.1, 2001:db8::1").expect("a list");
        assert_eq!(config.media.public_addresses.len(), 2);
        let config = with_variable("MINGSHI_LOG_JSON", "true").expect("a yes");
        assert!(config.log.json);
        let config = with_variable("MINGSHI_RECORDING_TRANSCODE_CORES", "2").expect("a number");
        assert!((config.recording.transcode_cores - 2.0).abs() < f64::EPSILON);
        assert!(with_variable("MINGSHI_MEDIA", "/usr/bin/mingshi-media").is_ok(), "no option, but not ours to refuse");

        assert_eq!(
            with_variable("MINGSHI_SERVER_HTPP", "x"),
            Err("the environment variable MINGSHI_SERVER_HTPP is no option; did you mean MINGSHI_SERVER_HTTP?".into())
        );
        let said = with_variable("MINGSHI_MEDIA_UDP_PORT", "many").expect_err("no number");
        assert_eq!(said, "MINGSHI_MEDIA_UDP_PORT: \"many\" is not a whole number");
    }
}
