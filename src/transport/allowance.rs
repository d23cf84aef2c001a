//! How much is sent to an address that has not shown that it hears us: so many times what came from there
//! (in the spirit of RFC 9000 §8.1).
//!
//! A check is authentic wherever it is sent from. Who forges its sender, and that of a hello behind it, would otherwise
//! have us repeat our part of the handshake to somebody else until the connection is given up.

use super::Endpoint;

/// Octets to an address for each that came from there.
const AMPLIFICATION: usize = 3;
/// Addresses that are accounted for at a time; with the oldest goes what it was owed.
const MAX_ACCOUNTS: usize = 8;

#[derive(Debug)]
struct Account {
    endpoint: Endpoint,
    left: usize,
    proved: bool,
}

/// What came from where and may be answered, until a connection is up.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    accounts: Vec<Account>,
}

impl Allowance {
    /// So many octets of the peer's came from there.
    pub(super) fn received(&mut self, from: Endpoint, octets: usize) {
        let account = self.account(from);
        account.left = account.left.saturating_add(AMPLIFICATION * octets);
    }

    /// Who is there has shown that it hears us.
    pub(super) fn prove(&mut self, endpoint: Endpoint) {
        self.account(endpoint).proved = true;
    }

    /// Takes so many octets from what may be sent there. Whether they were left. A TCP stream is there because both ends
    /// heard each other.
    pub(super) fn take(&mut self, to: Endpoint, octets: usize) -> bool {
        if to.stream.is_some() {
            return true;
        }
        let account = self.accounts.iter_mut().find(|account| account.endpoint == to);
        account.is_some_and(|account| {
            let enough = account.proved || account.left >= octets;
            if enough {
                account.left = account.left.saturating_sub(octets);
            }
            enough
        })
    }

    fn account(&mut self, endpoint: Endpoint) -> &mut Account {
        let at = self.accounts.iter().position(|account| account.endpoint == endpoint);
        let at = at.unwrap_or_else(|| {
            if self.accounts.len() == MAX_ACCOUNTS {
                self.accounts.remove(0);
            }
            self.accounts.push(Account { endpoint, left: 0, proved: false });
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::StreamId;

    #[test]
    fn an_address_gets_three_times_what_it_sent_until_it_shows_that_it_hears() {
        let (here, there) = (Endpoint::from(([192, 0, 2, 1], 1)), Endpoint::from(([192, 0, 2, 2], 2)));
        let mut allowance = Allowance::default();
        assert!(!allowance.take(here, 1), "nothing came from there");
        allowance.received(here, 100);
        assert!(allowance.take(here, 200));
        assert!(!allowance.take(here, 101));
        assert!(allowance.take(here, 100));
        assert!(!allowance.take(there, 1), "what came from elsewhere is no reason");
        allowance.prove(here);
        assert!(allowance.take(here, 10_000));
        assert!(allowance.take(Endpoint::tcp(there.address, StreamId(1)), 10_000), "a stream has proved itself");
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_share_nothing() {
        let mut allowance = Allowance::default();
        for port in 0..1_000 {
            let one = Endpoint::from(([192, 0, 2, 1], port));
            allowance.received(one, 10);
            assert!(!allowance.take(one, 31));
        }
        assert_eq!(allowance.accounts.len(), MAX_ACCOUNTS);
    }
}
