"""What the publishers send, so that whoever receives it can tell what it is: a moving picture that says its number and
its count in black and white cells, and a tone of a known frequency. Octets only: every client draws and reads the same."""

import math
import time
from array import array
from collections import deque
from dataclasses import dataclass

WIDTH, HEIGHT, PICTURES_PER_SECOND = 320, 240, 15
# Cells are large, so that they survive the coarsest encoding that a starting encoder chooses.
CELLS, CELL, STRIP = 16, WIDTH // 16, 48
COUNTS = 256

SAMPLES_PER_SECOND, SAMPLES_PER_FRAME = 48_000, 960
LOUDNESS = 8_000
HEARD_SECONDS = 0.2


@dataclass(frozen=True)
class Reading:
    """What a picture says of itself."""

    number: int
    count: int


def cells(number: int, count: int) -> list[int]:
    """The strip's cells: a mark, the number (4 bits), the count (8 bits), and two that check them."""
    content = [number >> bit & 1 for bit in range(4)] + [count >> bit & 1 for bit in range(8)]
    check = sum(content) & 1
    return [1, 0, *content, check, 1 - check]


def draw(number: int, count: int) -> tuple[bytes, bytes]:
    """The luma of a picture, a strip above a gradient that moves with the count, and either chroma, a shade of the number."""
    strip = b"".join(bytes([235 if cell else 16]) * CELL for cell in cells(number, count))
    gradient = bytes(40 + (x + 8 * count) % WIDTH // 2 for x in range(WIDTH))
    return strip * STRIP + gradient * (HEIGHT - STRIP), bytes([60 + 10 * number]) * (WIDTH * HEIGHT // 4)


def read(size: tuple[int, int], luma: bytes, stride: int) -> Reading | None:
    """What a received picture says, or None if it isn't one of ours or is damaged."""
    if size != (WIDTH, HEIGHT):
        return None
    line = luma[stride * (STRIP // 2) :][:WIDTH]
    seen = [int(line[CELL * cell + CELL // 2] > 125) for cell in range(CELLS)]
    number = sum(bit << place for place, bit in enumerate(seen[2:6]))
    count = sum(bit << place for place, bit in enumerate(seen[6:14]))
    return Reading(number, count) if seen == cells(number, count) else None


def wave(hertz: int) -> bytes:
    """20 ms of a tone, mono, to be repeated: a whole number of its periods should fit (50 Hz, 100 Hz, …)."""
    step = 2 * math.pi * hertz / SAMPLES_PER_SECOND
    return array("h", (int(LOUDNESS * math.sin(step * i)) for i in range(SAMPLES_PER_FRAME))).tobytes()


class Screen:
    """Shows a received video."""

    def __init__(self) -> None:
        self.frames = 0
        self.first_at: float | None = None
        self.readings: list[Reading] = []

    def show(self, reading: Reading | None) -> None:
        """A decoded picture has come, which says this."""
        self.frames += 1
        self.first_at = self.first_at or time.monotonic()
        if reading:
            self.readings.append(reading)

    def shows(self, number: int, pictures: int = 10) -> bool:
        """Whether the last pictures are all of this number, and each later than the one before it."""
        last = self.readings[-pictures:]
        steps = [(later.count - earlier.count) % COUNTS for earlier, later in zip(last, last[1:])]
        return (
            len(last) == pictures
            and all(reading.number == number for reading in last)
            and all(0 < step < PICTURES_PER_SECOND for step in steps)
        )


class Speaker:
    """Plays a received sound, and remembers the last of it."""

    def __init__(self) -> None:
        self.frames = 0
        self._heard: deque[int] = deque(maxlen=int(SAMPLES_PER_SECOND * HEARD_SECONDS))

    def play(self, samples: "array[int]") -> None:
        """Decoded sound of one channel has come."""
        self.frames += 1
        self._heard.extend(samples)

    def plays(self, hertz: int) -> bool:
        """Whether what was heard last is this tone, and loud."""
        return len(self._heard) == self._heard.maxlen and self._loud() and self._share(hertz) > 0.8

    def _loud(self) -> bool:
        return sum(sample * sample for sample in self._heard) / len(self._heard) > (LOUDNESS / 10) ** 2

    def _share(self, hertz: int) -> float:
        """Which part of the energy lies at this frequency (Goertzel's algorithm)."""
        turn = 2 * math.cos(2 * math.pi * hertz / SAMPLES_PER_SECOND)
        before, now = 0.0, 0.0
        for sample in self._heard:
            before, now = now, sample + turn * now - before
        power = before * before + now * now - turn * before * now
        energy = sum(sample * sample for sample in self._heard)
        return 2 * power / (len(self._heard) * energy)
