"""Sends without end to whoever connects, as a download does: `sender.py ADDRESS PORT`."""

import socket
import sys
import threading

CHUNK = bytes(65536)


def serve(connection):
    with connection:
        # As most servers of the world send; this machine's own choice may be another.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        try:
            while True:
                connection.sendall(CHUNK)
        except OSError:
            pass  # It has had enough.


with socket.create_server((sys.argv[1], int(sys.argv[2]))) as door:
    print("sending", flush=True)
    while True:
        threading.Thread(target=serve, args=[door.accept()[0]], daemon=True).start()
