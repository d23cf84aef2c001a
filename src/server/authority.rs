//! A certificate authority of our own, for a LAN: browsers lend their camera to HTTPS pages only, and no
//! public authority certifies the address of a classroom's server.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::lock::make_private;

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const ABOUT: &str = "server.json";

const CA_LIFE: Duration = Duration::days(10 * 365);
/// Browsers refuse certificates that live much longer.
const LIFE: Duration = Duration::days(397);
const RENEW_BEFORE: Duration = Duration::days(30);
/// Devices' clocks are often a little behind.
const BACKDATED: Duration = Duration::days(1);

/// Why there is no self-made certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// What the server's certificate is for, and until when: kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    names: BTreeSet<String>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// The files of a certificate that is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnCertificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca_certificate: PathBuf,
    pub(super) expires_at: OffsetDateTime,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

/// See to it that `folder` holds an authority, and a certificate of it for these names that is good for a while.
pub(super) fn ensure(
    folder: &Path,
    names: &BTreeSet<String>,
    now: OffsetDateTime,
) -> Result<OwnCertificate, AuthorityError> {
    make_private(folder).map_err(|source| AuthorityError::File { path: folder.into(), source })?;
    let ca_key = authority(folder, now)?;
    let own = |about: &About, is_new| OwnCertificate {
        certificate: folder.join(CERTIFICATE),
        key: folder.join(KEY),
        ca_certificate: folder.join(CA_CERTIFICATE),
        expires_at: about.expires_at,
        is_new,
    };
    let kept = fs::read_to_string(folder.join(ABOUT)).ok().and_then(|text| serde_json::from_str::<About>(&text).ok());
    match kept {
        Some(about) if about.names == *names && about.expires_at - now > RENEW_BEFORE => Ok(own(&about, false)),
        _ => Ok(own(&certify(folder, ca_key, names, now)?, true)),
    }
}

/// The authority's key, made with its certificate at the first start.
fn authority(folder: &Path, now: OffsetDateTime) -> Result<KeyPair, AuthorityError> {
    let (certificate_path, key_path) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
    if certificate_path.exists() && key_path.exists() {
        let pem = fs::read_to_string(&key_path).map_err(|source| AuthorityError::File { path: key_path, source })?;
        return Ok(KeyPair::from_pem(&pem)?);
    }
    let key = KeyPair::generate()?;
    let certificate = ca_params(&key, now).self_signed(&key)?;
    write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
    write(&certificate_path, certificate.pem().as_bytes(), 0o644)?;
    Ok(key)
}

/// The authority's name follows from its key, so that two servers' authorities aren't mistaken for each other
/// and the issuer can be put together again from the key alone.
fn ca_params(key: &KeyPair, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATED;
    params.not_after = now + CA_LIFE;
    let id: String = params.key_identifier(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("名师在线课堂 mingshi CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn certify(
    folder: &Path,
    ca_key: KeyPair,
    names: &BTreeSet<String>,
    now: OffsetDateTime,
) -> Result<About, AuthorityError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.not_before = now - BACKDATED;
    params.not_after = now + LIFE;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "mingshi");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(ca_params(&ca_key, now), ca_key);
    let certificate = params.signed_by(&key, &issuer)?;
    write(&folder.join(KEY), key.serialize_pem().as_bytes(), 0o600)?;
    write(&folder.join(CERTIFICATE), certificate.pem().as_bytes(), 0o644)?;
    let about = About { names: names.clone(), expires_at: params.not_after };
    let text = serde_json::to_string_pretty(&about).expect("names and a time become JSON");
    write(&folder.join(ABOUT), text.as_bytes(), 0o644)?;
    Ok(about)
}

/// Written beside and renamed, so that a power cut leaves the old file or the new one.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let write = || {
        // A file left behind by an interrupted write may have another mode.
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| AuthorityError::File { path: path.into(), source })
}

/// What the certificate has to be for: this machine's addresses and names, and what was configured.
pub(super) fn own_names(configured: &[String]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    names.extend(local_addresses().iter().map(ToString::to_string));
    if let Some(host) = host_name() {
        names.insert(format!("{host}.local"));
        names.insert(host);
    }
    names.extend(configured.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()));
    names
}

/// The addresses under which others may reach this machine.
#[must_use]
pub fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let reachable = interfaces.iter().filter(|interface| !interface.is_loopback() && !interface.is_link_local());
    let mut addresses: Vec<IpAddr> = reachable.map(if_addrs::Interface::ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_lowercase();
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    #[test]
    fn a_certificate_is_made_once_and_renewed_in_time_or_for_new_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = folder.path().join("tls");
        let names = BTreeSet::from(["localhost".to_owned(), "192.0.2.1".to_owned()]);
        let first = ensure(&tls, &names, NOW).expect("made");
        let ca = fs::read(&first.ca_certificate).expect("a certificate");
        let again = ensure(&tls, &names, NOW + Duration::days(300)).expect("kept");
        assert_eq!((first.is_new, again.is_new), (true, false));
        let late = ensure(&tls, &names, NOW + Duration::days(370)).expect("renewed");
        assert!(late.is_new && late.expires_at > first.expires_at);
        let more = BTreeSet::from(["localhost".to_owned(), "192.0.2.2".to_owned()]);
        assert!(ensure(&tls, &more, NOW + Duration::days(371)).expect("for the new address").is_new);
        assert_eq!(fs::read(&late.ca_certificate).expect("a certificate"), ca, "devices trust it: it never changes");
        for key in ["ca.key", "server.key"] {
            let mode = fs::metadata(tls.join(key)).expect("a key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }
}
