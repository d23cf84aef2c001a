//! Which connection a datagram belongs to: by the fragment in a STUN request, else by where it comes from (RFC 7983, RFC 8445 §12).

use std::collections::HashMap;

use crate::transport::Endpoint;
use crate::transport::ice::local_ufrag;

/// Keys of connections by what tells them apart on one port.
#[derive(Debug, Default)]
pub(super) struct Demux {
    by_ufrag: HashMap<String, usize>,
    by_endpoint: HashMap<Endpoint, usize>,
}

impl Demux {
    /// How many fragments and endpoints lead to connections.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.by_ufrag.len(), self.by_endpoint.len())
    }

    /// The connection's key, if the datagram is anybody's.
    #[must_use]
    pub(super) fn find(&self, from: Endpoint, datagram: &[u8]) -> Option<usize> {
        match datagram.first() {
            // A client may use an address again for its next connection: what a check names counts.
            Some(0) => local_ufrag(datagram).and_then(|ufrag| self.by_ufrag.get(ufrag).copied()),
            _ => self.by_endpoint.get(&from).copied(),
        }
    }

    /// A connection answers to this fragment.
    pub(super) fn add_ufrag(&mut self, ufrag: String, key: usize) {
        self.by_ufrag.insert(ufrag, key);
    }

    /// A connection's peer showed itself from there. Returns whether that is news.
    pub(super) fn add_endpoint(&mut self, endpoint: Endpoint, key: usize) -> bool {
        self.by_endpoint.insert(endpoint, key) != Some(key)
    }

    /// The connection's peer isn't there any more, unless it is another connection's by now.
    pub(super) fn remove_endpoint(&mut self, endpoint: Endpoint, key: usize) {
        if self.by_endpoint.get(&endpoint) == Some(&key) {
            self.by_endpoint.remove(&endpoint);
        }
    }

    /// The connection answers to those fragments only for which `answers` is true.
    pub(super) fn retain_ufrags(&mut self, key: usize, answers: impl Fn(&str) -> bool) {
        self.by_ufrag.retain(|ufrag, &mut other| other != key || answers(ufrag));
    }

    /// Nothing leads to the connection any more.
    pub(super) fn remove(&mut self, key: usize, endpoints: &[Endpoint]) {
        self.retain_ufrags(key, |_| false);
        for &endpoint in endpoints {
            self.remove_endpoint(endpoint, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_its_latest_connection() {
        let address = Endpoint::from(([192, 0, 2, 1], 5));
        let mut demux = Demux::default();
        demux.add_ufrag("one".into(), 1);
        assert!(demux.add_endpoint(address, 1));
        assert!(!demux.add_endpoint(address, 1));
        assert!(demux.add_endpoint(address, 2));
        assert_eq!(demux.find(address, &[22]), Some(2));
        demux.remove(2, &[address]);
        assert_eq!(demux.find(address, &[22]), None);
        assert!(demux.by_endpoint.is_empty() && demux.by_ufrag.len() == 1);
        demux.remove(1, &[]);
        assert!(demux.by_ufrag.is_empty());
    }
}
