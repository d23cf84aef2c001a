//! The certificate that is shown to browsers: files of the operator's, or the server's own, and always the newest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::authority::{self, AuthorityError};
use super::validity::{self, Validity};
use crate::config;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read as what it should be.
    #[error("{path}: {fact}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fact: String,
    },
    /// The key isn't the certificate's.
    #[error("{key} is not the key of {certificate}")]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The self-made certificate failed.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// TLS itself.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Where the certificate comes from.
#[derive(Debug, Clone)]
enum Origin {
    Files(config::CertificateFiles),
    Own { folder: PathBuf, configured: Vec<String> },
}

/// What the present certificate was made of; another one is read when this changes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Files(Option<SystemTime>, Option<SystemTime>),
    Own(BTreeSet<String>, OffsetDateTime),
}

/// The certificate in use.
#[derive(Debug)]
pub struct Certificates {
    origin: Origin,
    provider: Arc<CryptoProvider>,
    // Held for as long as an Arc takes to clone.
    current: RwLock<(Arc<CertifiedKey>, Seen)>,
}

impl Certificates {
    /// Read the files, or make a certificate in the data folder.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(tls: &config::Tls, data: &Path, now: OffsetDateTime) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let origin = match &tls.files {
            Some(files) => Origin::Files(files.clone()),
            None => Origin::Own { folder: data.join("tls"), configured: tls.names.clone() },
        };
        let current = read(&origin, &provider, now)?;
        Ok(Arc::new(Self { origin, provider, current: RwLock::new(current) }))
    }

    /// Take up files that have changed; renew what is our own when it is time. Says whether it did.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate in use stays in use.
    pub fn refresh(&self, now: OffsetDateTime) -> Result<bool, TlsError> {
        let seen = self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone();
        if let Origin::Files(files) = &self.origin
            && seen == stamp(files)
        {
            return Ok(false);
        }
        let next = read(&self.origin, &self.provider, now)?;
        let changed = next.1 != seen;
        if changed {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        Ok(changed)
    }

    /// The authority's certificate, where it is our own.
    #[must_use]
    pub fn ca_certificate(&self) -> Option<String> {
        match &self.origin {
            Origin::Own { folder, .. } => std::fs::read_to_string(folder.join("ca.crt")).ok(),
            Origin::Files(_) => None,
        }
    }

    /// From when to when the certificate in use is valid.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.0.cert.first().and_then(|certificate| validity::of(certificate))
    }

    /// TLS 1.2 and 1.3 with this certificate, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// [`TlsError::Rustls`].
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = self.clone();
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

/// Whether files of the operator's can be shown to browsers, and in which span.
///
/// # Errors
/// [`TlsError`] says what is wrong with them.
pub fn certificate_files(files: &config::CertificateFiles) -> Result<Option<Validity>, TlsError> {
    let certified = certified(&files.certificate, &files.key, &rustls::crypto::aws_lc_rs::default_provider())?;
    Ok(certified.cert.first().and_then(|certificate| validity::of(certificate)))
}

fn read(
    origin: &Origin,
    provider: &CryptoProvider,
    now: OffsetDateTime,
) -> Result<(Arc<CertifiedKey>, Seen), TlsError> {
    match origin {
        Origin::Files(files) => {
            // Looked at before reading: a change in between is taken up the next time.
            let seen = stamp(files);
            Ok((certified(&files.certificate, &files.key, provider)?, seen))
        }
        Origin::Own { folder, configured } => {
            let names = authority::own_names(configured);
            let own = authority::ensure(folder, &names, now)?;
            if own.is_new {
                tracing::info!(?names, expires_at = %own.expires_at, "certificate made");
            }
            Ok((certified(&own.certificate, &own.key, provider)?, Seen::Own(names, own.expires_at)))
        }
    }
}

fn stamp(files: &config::CertificateFiles) -> Seen {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    Seen::Files(changed(&files.certificate), changed(&files.key))
}

/// A certificate chain and its key, seen to belong together.
fn certified(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let file = |path: &Path, fact: String| TlsError::File { path: path.into(), fact };
    let bytes = |path: &Path| std::fs::read(path).map_err(|error| file(path, error.to_string()));
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file(certificate, format!("no PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(file(certificate, "no PEM certificate in it".into()));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|error| file(key, format!("no PEM key: {error}")))?;
    match CertifiedKey::from_der(chain, private, provider) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: certificate.into(), key: key.into() })
        }
        Err(error) => Err(file(key, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn certificate(folder: &Path) -> config::CertificateFiles {
        let own = authority::ensure(folder, &BTreeSet::from(["ke.example.cn".to_owned()]), NOW).expect("made");
        config::CertificateFiles { certificate: own.certificate, key: own.key }
    }

    fn replace(old: &Path, new: &Path, changed: SystemTime) {
        fs::copy(new, old).expect("copied");
        fs::File::options().append(true).open(old).and_then(|file| file.set_modified(changed)).expect("dated");
    }

    #[test]
    fn new_files_are_taken_up_and_broken_ones_leave_the_old_certificate_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (certificate(&folder.path().join("a")), certificate(&folder.path().join("b")));
        let tls = config::Tls { files: Some(first.clone()), names: Vec::new() };
        let certificates = Certificates::load(&tls, folder.path(), NOW).expect("files in order");
        let shown = || certificates.current.read().expect("nobody panics").0.cert.clone();
        let before = shown();
        assert!(!certificates.refresh(NOW).expect("looked at"), "nothing has changed");

        let soon = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        replace(&first.certificate, &second.certificate, soon);
        assert!(matches!(certificates.refresh(NOW), Err(TlsError::Mismatch { .. })), "its key isn't there yet");
        assert_eq!(shown(), before);
        replace(&first.key, &second.key, soon);
        assert!(certificates.refresh(NOW).expect("a pair"));
        assert_ne!(shown(), before);
        assert!(certificates.server_config().is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = certificate(&folder.path().join("a"));
        files.certificate = folder.path().join("none.pem");
        let said = certificate_files(&files).expect_err("no such file").to_string();
        assert!(said.starts_with(&files.certificate.display().to_string()), "{said}");
        fs::write(&files.certificate, "hello").expect("written");
        let said = certificate_files(&files).expect_err("no certificate in it").to_string();
        assert!(said.ends_with("no PEM certificate in it"), "{said}");
    }
}
