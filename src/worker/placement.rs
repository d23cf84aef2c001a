//! How a peer's first request finds the worker that has its connection: the fragment names it.

use crate::transport::Credentials;

/// New credentials whose fragment names the worker.
pub(super) fn credentials(worker: usize) -> Credentials {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random: u64 = rand::random();
    let mut ufrag = format!("{worker:02x}");
    for _ in 0..10 {
        ufrag.push(char::from(ALPHABET[(random & 31) as usize]));
        random >>= 5;
    }
    Credentials::random(ufrag)
}

/// The worker that a fragment of ours names.
pub(super) fn worker_of(ufrag: &str) -> Option<usize> {
    ufrag.get(..2).and_then(|digits| usize::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_names_its_worker_and_is_long_enough() {
        let credentials = credentials(5);
        assert!(credentials.ufrag.starts_with("05") && credentials.ufrag.len() == 12);
        assert_eq!((worker_of(&credentials.ufrag), worker_of("x"), worker_of("yz1")), (Some(5), None, None));
        assert!(credentials.password.len() >= 22);
    }
}
