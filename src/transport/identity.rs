//! Who we are to peers, and how a peer is told from another: certificates and their fingerprints.

use std::sync::Arc;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rtc_crypto::RTCCryptoProvider;
use rtc_crypto::providers::AwsLcRsProvider;
use rtc_dtls::crypto::Certificate;

use super::sdp::Fingerprint;

/// No certificate could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for media: {0}")]
pub struct NoIdentity(String);

/// Our certificate and what computes with it; one for the whole server.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    fingerprint: Arc<str>,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Identity {
    /// A new self-made certificate (ECDSA on P-256, as browsers make them).
    ///
    /// # Errors
    /// [`NoIdentity`] when the machine has no randomness.
    pub fn generate() -> Result<Self, NoIdentity> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
        let certificate = Certificate::generate_self_signed(vec!["mingshi".to_string()], provider.crypto())
            .map_err(|error| NoIdentity(error.to_string()))?;
        let leaf = certificate.certificate.first().ok_or_else(|| NoIdentity("no certificate was made".into()))?;
        let fingerprint = hexadecimal(&SHA256, leaf.as_ref()).into();
        Ok(Self { certificate, fingerprint, provider })
    }

    /// SHA-256 of the certificate in upper-case hexadecimal with colons (RFC 8122 §5).
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn provider(&self) -> &Arc<dyn RTCCryptoProvider> {
        &self.provider
    }
}

fn hexadecimal(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    let pairs: Vec<String> = digest(algorithm, bytes).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

impl Fingerprint {
    /// Whether this is the certificate that the offer announced (RFC 8122 §5).
    pub(super) fn matches(&self, certificate: &[u8]) -> bool {
        let algorithm = match self.hash.as_str() {
            "sha-256" => &SHA256,
            "sha-384" => &SHA384,
            "sha-512" => &SHA512,
            _ => return false,
        };
        hexadecimal(algorithm, certificate).eq_ignore_ascii_case(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_one_certificate() {
        let value = hexadecimal(&SHA256, b"certificate").to_lowercase();
        let fingerprint = Fingerprint { hash: "sha-256".into(), value };
        assert!(fingerprint.matches(b"certificate"));
        assert!(!fingerprint.matches(b"another"));
        assert!(!Fingerprint { hash: "md5".into(), ..fingerprint }.matches(b"certificate"));
    }
}
