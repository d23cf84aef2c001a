//! Places of which each client has so many, so that none takes those of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::client_network;

/// How many places each client has, and who has taken some.
#[derive(Debug)]
pub(super) struct Places {
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>, IpAddr);

impl Places {
    /// So many for each address, or for each /64 network of IPv6.
    pub(super) fn each(each: usize) -> Arc<Self> {
        Arc::new(Self { each, taken: Mutex::default() })
    }

    /// Takes one; `None` when the client has all that it may have.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = client_network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client).or_default();
        (*count < self.each).then(|| {
            *count += 1;
            Place(Arc::clone(self), client)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let places = Places::each(512);
        let (school, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let taken: Vec<_> = (0..512).map_while(|_| places.enter(school)).collect();
        assert_eq!(taken.len(), 512);
        assert!(places.enter(school).is_none());
        assert!(places.enter(other).is_some());
        drop(taken);
        assert!(places.enter(school).is_some());
        assert!(places.taken.lock().expect("nobody panicked").is_empty(), "nothing is kept of who has left");
    }
}
