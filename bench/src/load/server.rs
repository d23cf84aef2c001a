//! The server as a process of its own, in a data folder of its own, on free ports of loopback.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use mingshi::worker::clock;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// Media threads of the server.
pub const WORKERS: u16 = 2;

/// A running server; it ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub base: String,
    /// The first media thread's UDP port; each further one has the next.
    pub udp_port: u16,
    /// For whoever asks it something.
    pub http: reqwest::Client,
    operator: String,
    data: PathBuf,
}

/// A lesson that is on air.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// Its id.
    pub id: String,
    /// What classrooms enter with.
    pub code: String,
}

impl Server {
    /// Starts `program` with `settings` (names and values of environment variables) beside those that put it on loopback.
    ///
    /// # Errors
    /// When it doesn't come up within 20 s; its log is named.
    pub async fn start(program: &Path, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let data =
            std::env::temp_dir().join(format!("mingshi-load-{}-{:08x}", std::process::id(), rand::random::<u32>()));
        std::fs::create_dir_all(&data)?;
        let http_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let udp_port = free_udp_ports()?;
        let base = format!("http://127.0.0.1:{http_port}");
        let mut environment = vec![
            ("MINGSHI_SERVER_DATA", data.display().to_string()),
            ("MINGSHI_SERVER_HTTP", format!("127.0.0.1:{http_port}")),
            ("MINGSHI_SERVER_HTTPS", String::new()),
            ("MINGSHI_MEDIA_WORKERS", WORKERS.to_string()),
            ("MINGSHI_MEDIA_UDP_PORT", udp_port.to_string()),
            ("MINGSHI_MEDIA_BIND_ADDRESS", "127.0.0.1".into()),
            ("MINGSHI_MEDIA_PUBLIC_ADDRESSES", "127.0.0.1".into()),
            ("MINGSHI_LOG_FILTER", "warn".into()),
        ];
        environment.extend(settings.iter().cloned());
        let log = data.join("server.log");
        let command = |what: &str| {
            let mut command = Command::new(program);
            command.arg(what).envs(environment.iter().cloned()).stdin(Stdio::null());
            command
        };
        let child =
            command("serve").stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?).spawn();
        let child = child.with_context(|| format!("{} can't be started", program.display()))?;
        let http = reqwest::Client::new();
        let mut server = Self { child, base, udp_port, http, operator: String::new(), data };
        server.until_well().await.with_context(|| format!("the server didn't start; see {}", log.display()))?;
        let link = command("operator-link").output()?;
        let link = String::from_utf8(link.stdout)?;
        let key = link.trim().rsplit('/').next().unwrap_or_default();
        let answer = server.post("/api/v1/operator", "", &json!({ "key": key })).await?;
        server.operator = word(&answer, "token")?;
        Ok(server)
    }

    async fn until_well(&self) -> anyhow::Result<()> {
        let deadline = clock::now() + PATIENCE;
        while clock::now() < deadline {
            if let Ok(answer) = self.http.get(format!("{}/healthz", self.base)).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("no answer within {PATIENCE:?}")
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    /// What isn't a success, with what was said.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(token).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Makes a lesson and begins it.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn lesson(&self) -> anyhow::Result<Lesson> {
        let lesson = self.post("/api/v1/lessons", &self.operator, &json!({ "title": "五年级英语" })).await?;
        let (id, code) = (word(&lesson, "id")?, word(&lesson, "join_code")?);
        self.post(&format!("/api/v1/lessons/{id}/start"), &self.operator, &json!({})).await?;
        Ok(Lesson { id, code })
    }

    /// Ends a lesson.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn end(&self, lesson: &Lesson) -> anyhow::Result<()> {
        self.post(&format!("/api/v1/lessons/{}/end", lesson.id), &self.operator, &json!({})).await.map(drop)
    }

    /// A token of the lesson for this role.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn token(&self, lesson: &Lesson, role: &str, school: Option<&str>) -> anyhow::Result<String> {
        let path = format!("/api/v1/lessons/{}/tokens", lesson.id);
        let answer = self.post(&path, &self.operator, &json!({ "role": role, "school": school })).await?;
        word(&answer, "token")
    }

    /// The metrics as Prometheus reads them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(self.http.get(format!("{}/metrics", self.base)).send().await?.error_for_status()?.text().await?)
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it logs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What has ended already can't be killed, and that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A text in an answer.
///
/// # Errors
/// When it isn't there.
pub fn word(answer: &Value, field: &str) -> anyhow::Result<String> {
    answer[field].as_str().map(str::to_owned).with_context(|| format!("the answer has no {field}: {answer}"))
}

/// The first of [`WORKERS`] neighbouring ports that are free.
fn free_udp_ports() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        if (0..WORKERS)
            .all(|next| first.checked_add(next).is_some_and(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()))
        {
            return Ok(first);
        }
    }
    bail!("no {WORKERS} neighbouring UDP ports are free")
}

/// The program `mingshi` in the folder that cargo built this one into.
///
/// # Errors
/// When it wasn't built.
pub fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("mingshi")).find(|program| program.is_file());
    found.with_context(|| format!("there is no mingshi beside {}: cargo build --bin mingshi", own.display()))
}
