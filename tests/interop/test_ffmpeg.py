"""FFmpeg's own WHIP muxer publishes, as the command line of its users has it."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from lesson import Lesson
from recording import Recording
from whip import until

RECORDING = Recording(5, 400)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to read the picture from."""
    path = tmp_path_factory.mktemp("recordings") / "pictures.h264"
    path.write_bytes(b"".join(RECORDING.pictures()))
    return path


def command(lesson: Lesson, pictures: Path, *more: str) -> list[str]:
    """What FFmpeg's users type, with a recorded picture and a tone for camera and microphone."""
    camera = ["-re", "-stream_loop", "-1", "-r", str(RECORDING.pictures_per_second), "-i", str(pictures)]
    voice = ["-re", "-f", "lavfi", "-i", f"sine=frequency={RECORDING.hertz}:sample_rate=48000"]
    video = ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30"]
    audio = ["-c:a", "libopus", "-ac", "2", "-af", "volume=4"]
    whip = ["-f", "whip", "-authorization", lesson.tokens["studio"], *more, lesson.base + lesson.path("whip", "camera")]
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "warning"]
    return [*program, *camera, *voice, *video, *audio, *whip]


@contextlib.asynccontextmanager
async def ffmpeg(words: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """FFmpeg, until the scenario is over."""
    process = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_ffmpeg_publishes_voice_and_picture(lesson: Lesson, pictures: Path) -> None:
    async with (
        ffmpeg(command(lesson, pictures, "-whip_flags", "dtls_active")) as publisher,
        lesson.play("camera", codec="H264") as player,
    ):
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds")
        # Asked to end, FFmpeg sends DELETE, and the next publisher finds the place free at once.
        publisher.terminate()
        await publisher.wait()
        async with ffmpeg(command(lesson, pictures, "-whip_flags", "dtls_active")):
            seen = player.screens[0].frames
            await until(lambda: player.screens[0].frames > seen + 30 and player.screens[0].shows(5), "it goes on")


async def test_ffmpeg_that_wants_to_be_the_dtls_server_is_refused(lesson: Lesson, pictures: Path) -> None:
    async with ffmpeg(command(lesson, pictures)) as publisher:
        assert publisher.stderr
        said = (await publisher.stderr.read()).decode()
        assert await publisher.wait() != 0
    assert "HTTP error 422" in said and "a=setup:passive" in said
