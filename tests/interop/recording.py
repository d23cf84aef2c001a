"""The pattern of pattern.py, encoded beforehand as OBS's encoders do it: H.264 without B frames, with headers
before every keyframe, and keyframes at fixed distances only."""

import base64
import fractions
import json
from dataclasses import dataclass
from pathlib import Path

import av
from pattern import COUNTS, HEIGHT, SAMPLES_PER_FRAME, SAMPLES_PER_SECOND, WIDTH, wave
from signals import picture


@dataclass(frozen=True)
class Recording:
    """What is recorded: it can be repeated without a seam."""

    number: int
    hertz: int
    pictures_per_second: int = 30
    keyframe_every: int = 64
    shrunk: int = 1

    def write(self, path: Path) -> Path:
        """Into a file that says all of it in JSON, the octets in Base64."""
        document = {
            "pictures_per_second": self.pictures_per_second,
            "pictures": [base64.b64encode(one).decode() for one in self.pictures()],
            "sound": [base64.b64encode(one).decode() for one in self.sound()],
        }
        path.write_text(json.dumps(document))
        return path

    def pictures(self) -> list[bytes]:
        """One access unit for each count."""
        assert COUNTS % self.keyframe_every == 0, "the first is a keyframe whenever it comes round"
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH // self.shrunk, HEIGHT // self.shrunk, "yuv420p"
        encoder.framerate = fractions.Fraction(self.pictures_per_second)
        encoder.time_base = 1 / encoder.framerate
        encoder.profile = "Baseline"
        encoder.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "x264-params": "scenecut=0:bframes=0:repeat-headers=1:"
            f"keyint={self.keyframe_every}:min-keyint={self.keyframe_every}",
        }
        packets = []
        for count in range(COUNTS):
            frame = picture(self.number, count).reformat(encoder.width, encoder.height)
            frame.pts, frame.time_base = count, encoder.time_base
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        assert len(packets) == COUNTS
        return [bytes(packet) for packet in packets]

    def sound(self, seconds: int = 2) -> list[bytes]:
        """Opus, 20 ms each."""
        encoder = av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.format, encoder.layout = SAMPLES_PER_SECOND, "s16", "mono"
        packets = []
        for count in range(seconds * SAMPLES_PER_SECOND // SAMPLES_PER_FRAME):
            frame = av.AudioFrame("s16", "mono", SAMPLES_PER_FRAME)
            frame.planes[0].update(wave(self.hertz))
            frame.sample_rate, frame.time_base = SAMPLES_PER_SECOND, fractions.Fraction(1, SAMPLES_PER_SECOND)
            frame.pts = count * SAMPLES_PER_FRAME
            packets += encoder.encode(frame)
        return [bytes(packet) for packet in packets]
