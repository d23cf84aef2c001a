//! The operator key: 256 random bits, shown once, kept as a hash.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

/// A text that is no operator key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operator key has 43 characters of A-Z, a-z, 0-9, - and _")]
pub struct NotAKey;

/// The key as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorKey([u8; 32]);

impl OperatorKey {
    /// A new random key.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// What is kept of it. A plain hash is enough: 256 random bits can't be guessed from it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        hash
    }

    /// Whether it is the key of this hash, in a time that says nothing.
    #[must_use]
    pub fn is_of(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

impl FromStr for OperatorKey {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| NotAKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_and_never_printed_by_debug() {
        let key = OperatorKey::random();
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert!(key.is_of(&key.hash()));
        assert!(!OperatorKey::random().is_of(&key.hash()));
        assert!(!format!("{key:?}").contains(&key.to_string()));
        assert_eq!("abc".parse::<OperatorKey>(), Err(NotAKey));
    }
}
