"""Numbered datagrams over a line, five handed to the system at once as servers do it (UDP_SEGMENT): which of them arrive?

    numbered.py send PORT COUNT           to whoever says hello, 2.5 Mbit/s
    numbered.py receive ADDRESS PORT      prints the numbers that arrived, as JSON
"""

import json
import socket
import struct
import sys
import time

SIZE = 1000
AT_ONCE = 5
PAUSE = 0.016
UDP_SEGMENT = 103
PATIENCE = 1.5


def send(port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("", port))
        print("ready", flush=True)
        _, receiver = line.recvfrom(100)
        line.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE)
        for first in range(0, count, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            line.sendto(b"".join(struct.pack("!I", number).ljust(SIZE, b"\0") for number in numbers), receiver)
            time.sleep(PAUSE)


def receive(address, port):
    numbers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(PATIENCE)
        line.sendto(b"hello", (address, port))
        try:
            while True:
                numbers.append(struct.unpack("!I", line.recv(SIZE)[:4])[0])
        except TimeoutError:
            print(json.dumps(numbers))


mode, *words = sys.argv[1:]
if mode == "send":
    send(int(words[0]), int(words[1]))
else:
    receive(words[0], int(words[1]))
