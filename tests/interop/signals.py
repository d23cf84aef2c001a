"""The pattern of pattern.py as aiortc's tracks send it and receive it."""

import asyncio
import fractions
import time
from array import array

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from pattern import (
    COUNTS,
    HEIGHT,
    PICTURES_PER_SECOND,
    SAMPLES_PER_FRAME,
    SAMPLES_PER_SECOND,
    WIDTH,
    Reading,
    draw,
    read,
    wave,
)


def picture(number: int, count: int) -> VideoFrame:
    """A picture, as encoders of FFmpeg's take it."""
    luma, chroma = draw(number, count)
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane, octets in zip(frame.planes, (luma, chroma, chroma)):
        plane.update(octets)
    return frame


def reading(frame: VideoFrame) -> Reading | None:
    """What a decoded picture says."""
    luma = frame.planes[0]
    return read((frame.width, frame.height), bytes(luma), luma.line_size)


def samples(frame: AudioFrame) -> "array[int]":
    """Decoded sound; of stereo, the left half is enough."""
    channels = len(frame.layout.channels)
    return array("h", bytes(frame.planes[0])[: 2 * frame.samples * channels])[::channels]


class Camera(MediaStreamTrack):
    """The picture with this number (0 to 15), moving."""

    kind = "video"

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.pictures = 0
        self._start = time.monotonic()

    async def recv(self) -> VideoFrame:
        """The next picture, when it is due."""
        await _until_due(self, self._start + self.pictures / PICTURES_PER_SECOND)
        frame = picture(self.number, self.pictures % COUNTS)
        frame.pts, frame.time_base = self.pictures, fractions.Fraction(1, PICTURES_PER_SECOND)
        self.pictures += 1
        return frame


class Microphone(MediaStreamTrack):
    """A tone, as `wave` makes it."""

    kind = "audio"

    def __init__(self, hertz: int) -> None:
        super().__init__()
        self._wave = wave(hertz)
        self._frames = 0
        self._start = time.monotonic()

    async def recv(self) -> AudioFrame:
        """The next 20 ms of the tone, when they are due."""
        await _until_due(self, self._start + self._frames * SAMPLES_PER_FRAME / SAMPLES_PER_SECOND)
        frame = AudioFrame("s16", "mono", SAMPLES_PER_FRAME)
        frame.planes[0].update(self._wave)
        frame.sample_rate, frame.time_base = SAMPLES_PER_SECOND, fractions.Fraction(1, SAMPLES_PER_SECOND)
        frame.pts = self._frames * SAMPLES_PER_FRAME
        self._frames += 1
        return frame


async def _until_due(track: MediaStreamTrack, due: float) -> None:
    if track.readyState != "live":
        raise MediaStreamError
    await asyncio.sleep(max(0.0, due - time.monotonic()))
