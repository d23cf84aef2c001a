#!/usr/bin/env python3
"""Makes bench/data/chromium.csv of a capture of the studio page's traffic.

    tshark -i lo -f 'udp and dst portrange 20000-20001' -a duration:25 -T fields -e frame.time_epoch -e udp.payload > capture.txt
    bench/record-chromium.py capture.txt > bench/data/chromium.csv

RTP headers are readable on the wire; what is encrypted is only counted. SRTP is AEAD_AES_128_GCM: 16 octets of tag.
"""
import sys

rows, names, begin, extended = [], {}, None, {}
for line in open(sys.argv[1], encoding="ascii"):
    time, _, payload = line.strip().partition("\t")
    packet = bytes.fromhex(payload)
    # RTP by its first octet, and not RTCP by its second (RFC 7983, RFC 5761).
    if len(packet) < 40 or packet[0] >> 6 != 2 or 192 <= packet[1] <= 223:
        continue
    ssrc = packet[8:12]
    header = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        header += 4 + 4 * int.from_bytes(packet[header + 2 : header + 4], "big")
    sequence = int.from_bytes(packet[2:4], "big")
    last = extended.get(ssrc, sequence)
    extended[ssrc] = last + (sequence - last + 0x8000) % 0x10000 - 0x8000
    begin = float(time) if begin is None else begin
    micros = round((float(time) - begin) * 1e6)
    timestamp = int.from_bytes(packet[4:8], "big")
    rows.append((micros, ssrc, extended[ssrc] + 65_536, timestamp, packet[1] >> 7, len(packet) - header - 16))

sizes = {}
for row in rows:
    sizes.setdefault(row[1], []).append(row[5])
# Voice and retransmissions are small or few; what remains are the pictures.
pictures = [ssrc for ssrc, all in sizes.items() if len(all) > 100 and sum(all) / len(all) > 300]
print("arrival_us,stream,sequence,timestamp,marker,payload")
for row in rows:
    if row[1] in pictures:
        print(row[0], pictures.index(row[1]), *row[2:], sep=",")
