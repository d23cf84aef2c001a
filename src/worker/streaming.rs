//! The worker's part of ICE over TCP (RFC 6544): streams are taken over from the listeners, read, and closed.

use std::net::{SocketAddr, TcpStream};

use super::connection::Side;
use super::socket::Path;
use super::worker::Worker;

impl Worker {
    /// Takes a stream over whose first datagram is a check of one of our connections; any other one is closed.
    pub(super) fn adopt(&mut self, stream: TcpStream, remote: SocketAddr, first: &[u8]) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let key = self.demux.find(remote.into(), first);
        let Some((key, connection)) = key.and_then(|key| Some((key, self.connections.get(key)?))) else {
            return self.meters.drop("unknown_peer", 1);
        };
        let Ok(endpoint) = self.links.tcp.adopt(stream, remote, key, connection.video_ssrcs()) else {
            return self.meters.drop("socket_error", 1);
        };
        self.meters.received += 1;
        self.datagram(Path { remote: endpoint, local: None }, first);
        let is_known = self.connections.get(key).is_some_and(|connection| connection.peer.knows(endpoint));
        if !is_known {
            // It wasn't authenticated, so it doesn't get to hold a descriptor.
            endpoint.stream.and_then(|stream| self.links.tcp.close(stream));
        }
    }

    /// Takes what the streams have, each once. Returns whether there may be more.
    pub(super) fn receive_from_streams(&mut self) -> bool {
        for id in self.links.tcp.take_readable() {
            let Some((endpoint, mut deframer)) = self.links.tcp.read(id) else { continue };
            loop {
                match deframer.next_datagram() {
                    Ok(Some(datagram)) => {
                        self.meters.received += 1;
                        self.datagram(Path { remote: endpoint, local: None }, datagram);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.meters.drop("unknown_protocol", 1);
                        self.links.tcp.end(id);
                        break;
                    }
                }
            }
            self.links.tcp.give_back(id, deframer);
        }
        self.links.tcp.is_readable()
    }

    /// Forgets the streams that were closed, and begins pictures anew where some were dropped.
    pub(super) fn look_after_streams(&mut self) {
        for (endpoint, owner) in self.links.tcp.take_ended() {
            self.demux.remove_endpoint(endpoint, owner);
            if let Some(connection) = self.connections.get_mut(owner) {
                connection.peer.forget(endpoint);
                connection.endpoints.retain(|known| *known != endpoint);
            }
        }
        for owner in self.links.tcp.take_recovered() {
            let Some(connection) = self.connections.get(owner) else { continue };
            let videos = connection.video_ssrcs();
            if let Side::Subscriber { key: Some(subscriber), .. } = connection.side {
                for ssrc in videos {
                    self.router.keyframe_request(subscriber, ssrc);
                }
            }
        }
    }
}
