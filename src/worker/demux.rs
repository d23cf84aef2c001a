//! Which connection a datagram belongs to: by the fragment in a STUN request, else by where it comes from (RFC 7983, RFC 8445 §12).

use std::collections::HashMap;
use std::net::IpAddr;

use crate::transport::Endpoint;
use crate::transport::ice::local_ufrag;

/// Keys of connections by what tells them apart on one port.
#[derive(Debug, Default)]
pub(super) struct Demux {
    by_ufrag: HashMap<String, usize>,
    by_endpoint: HashMap<Endpoint, usize>,
    /// Whose endpoints are at an address, and how many of them.
    by_address: HashMap<IpAddr, Vec<(usize, usize)>>,
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
        let before = self.by_endpoint.insert(endpoint, key);
        if before == Some(key) {
            return false;
        }
        if let Some(other) = before {
            self.leave(endpoint.address.ip(), other);
        }
        let there = self.by_address.entry(endpoint.address.ip()).or_default();
        match there.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => there.push((key, 1)),
        }
        true
    }

    /// Connections whose peers showed themselves at this address, from whatever ports.
    pub(super) fn at(&self, address: IpAddr) -> impl Iterator<Item = usize> {
        self.by_address.get(&address).into_iter().flatten().map(|(key, _)| *key)
    }

    fn leave(&mut self, address: IpAddr, key: usize) {
        let Some(there) = self.by_address.get_mut(&address) else { return };
        if let Some(at) = there.iter().position(|(known, _)| *known == key) {
            there[at].1 -= 1;
            if there[at].1 == 0 {
                there.swap_remove(at);
            }
        }
        if there.is_empty() {
            self.by_address.remove(&address);
        }
    }

    /// The connection's peer isn't there any more, unless it is another connection's by now.
    pub(super) fn remove_endpoint(&mut self, endpoint: Endpoint, key: usize) {
        if self.by_endpoint.get(&endpoint) == Some(&key) {
            self.by_endpoint.remove(&endpoint);
            self.leave(endpoint.address.ip(), key);
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
        assert!(demux.by_endpoint.is_empty() && demux.by_address.is_empty() && demux.by_ufrag.len() == 1);
        demux.remove(1, &[]);
        assert!(demux.by_ufrag.is_empty());
    }

    #[test]
    fn who_is_behind_one_address_is_known_until_their_last_endpoint_is_gone() {
        let (one, two) = (Endpoint::from(([192, 0, 2, 1], 5)), Endpoint::from(([192, 0, 2, 1], 6)));
        let mut demux = Demux::default();
        let there = |demux: &Demux| demux.at(one.address.ip()).collect::<Vec<_>>();
        demux.add_endpoint(one, 1);
        demux.add_endpoint(two, 1);
        demux.add_endpoint(Endpoint::from(([192, 0, 2, 2], 5)), 3);
        assert_eq!(there(&demux), [1]);
        demux.add_endpoint(two, 2);
        assert_eq!(there(&demux), [1, 2]);
        demux.remove_endpoint(two, 1);
        assert_eq!(there(&demux), [1, 2], "it is another connection's by now");
        demux.remove_endpoint(one, 1);
        assert_eq!(there(&demux), [2]);
        demux.remove_endpoint(two, 2);
        assert_eq!((there(&demux).len(), demux.by_address.len()), (0, 1));
    }
}
