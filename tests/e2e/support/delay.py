"""Delays what passes between two devices of a machine: a TUN device that every packet goes through on its way.

The kernel routes each packet into the device; it is read here and written back when its time has come, and the kernel
routes it on. Standard input takes lines `down|up DELAY JITTER LATE`: milliseconds one way, by how many of them the delay
wanders to either side, and the share (0 to 1) of packets that arrive 10 ms late, behind their successors. What
the wandering delay does, it does to all packets: they keep their order.

    delay.py DEVICE INWARD
        DEVICE  is made here, and gone when this ends, as it does with its standard input
        INWARD  is the network (such as 192.0.2.0/24) that packets go down to; all others go up
"""

import collections
import fcntl
import heapq
import ipaddress
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LARGEST_PACKET = 65536
# How often the delay sets out for another value, and how late the late ones are, in seconds.
WANDERING = 0.05
LATENESS = 0.010
# Packets that wait at most: a line of 50 Mbit/s with 300 ms is fuller than any that is asked for.
MOST_WAITING = 4000


class Direction:
    """One way through, with its own delay."""

    def __init__(self):
        self.delay = self.jitter = self.late = 0.0
        self.waypoints = collections.deque([(0.0, 0.0)], maxlen=2)
        self.last = 0.0

    def departure(self, now):
        """When a packet that arrived at `now` leaves."""
        if self.late and random.random() < self.late:
            return now + self.delay + self.wandered(now) + LATENESS
        self.last = max(self.last, now + self.delay + self.wandered(now))
        return self.last

    def wandered(self, now):
        """The deviation of the delay: straight lines between random values, one every 50 ms."""
        if not self.jitter:
            return 0.0
        while self.waypoints[-1][0] <= now:
            begin = max(self.waypoints[-1][0], now - WANDERING)
            self.waypoints.append((begin + WANDERING, random.uniform(-self.jitter, self.jitter)))
        (start, old), (end, new) = self.waypoints[0], self.waypoints[-1]
        share = min(1.0, max(0.0, (now - start) / (end - start)))
        return old + (new - old) * share


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def read_all(device):
    """The packets that lie ready."""
    while True:
        try:
            yield os.read(device, LARGEST_PACKET)
        except BlockingIOError:
            return


def write(device, packet):
    try:
        os.write(device, packet)
    except OSError:
        pass  # The device is not up, or the packet is no longer wanted: it is lost, as on any line.


def take_orders(text, directions):
    for line in text.splitlines():
        way, *values = line.split()
        direction = directions[way]
        delay, jitter, late = map(float, values)
        direction.delay, direction.jitter, direction.late = delay / 1000, jitter / 1000, late


def main():
    name, inward = sys.argv[1], ipaddress.ip_network(sys.argv[2])
    network, mask = int(inward.network_address), int(inward.netmask)
    device = open_device(name)
    directions = {"down": Direction(), "up": Direction()}
    waiting, number = [], 0
    print("ready", flush=True)
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([device, 0], [], [], patience)
        if 0 in ready:
            text = os.read(0, 4096).decode()
            if not text:
                return
            take_orders(text, directions)
        now = time.monotonic()
        if device in ready:
            for packet in read_all(device):
                if packet[0] >> 4 != 4 or len(waiting) >= MOST_WAITING:
                    continue
                destination = int.from_bytes(packet[16:20], "big")
                way = directions["down" if destination & mask == network else "up"]
                number += 1
                heapq.heappush(waiting, (way.departure(now), number, packet))
        while waiting and waiting[0][0] <= now:
            write(device, heapq.heappop(waiting)[2])


main()
