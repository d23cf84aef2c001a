"""GStreamer's webrtcbin, as the system has it, publishes and plays."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from foreign import CLIENTS, Foreign, foreign
from lesson import Lesson
from signals import Camera, Microphone
from whip import until

# `gi` belongs to the system's Python, not to the one that runs the tests.
COMMAND = ["/usr/bin/python3", CLIENTS / "gstreamer.py"]
Joins = Callable[..., AbstractAsyncContextManager[Foreign]]


def publishing(lesson: Lesson, codec: str, number: int, hertz: int) -> AbstractAsyncContextManager[Foreign]:
    """A pipeline that sends the camera."""
    words = ["publish", "--video", codec, "--number", str(number), "--audio", "--hertz", str(hertz)]
    return foreign(lesson.base, lesson.path("whip", "camera"), lesson.tokens["studio"], [*COMMAND, *words])


def playing(lesson: Lesson, codec: str) -> AbstractAsyncContextManager[Foreign]:
    """A pipeline that shows the camera."""
    words = ["play", "--video", codec, "--audio"]
    return foreign(lesson.base, lesson.path("whep", "camera"), lesson.tokens["classroom"], [*COMMAND, *words])


@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_webrtcbin_publishes_to_aiortc(lesson: Lesson, codec: str) -> None:
    async with publishing(lesson, codec, 5, 400), lesson.play("camera") as player:
        await until(lambda: player.screens[0].shows(5), "the picture moves on the player's screen")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds at the player")


@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_webrtcbin_plays_what_aiortc_publishes(lesson: Lesson, codec: str) -> None:
    async with (
        lesson.publish("camera", Microphone(400), Camera(5), codec={"h264": "H264", "vp8": "VP8"}[codec]),
        playing(lesson, codec) as player,
    ):
        await until(lambda: player.screen.shows(5), "the picture moves on the player's screen")
        await until(lambda: player.speaker.plays(400), "the tone sounds at the player")


async def test_webrtcbin_joins_late_and_leaves(lesson: Lesson) -> None:
    async with publishing(lesson, "h264", 9, 1000) as publisher, playing(lesson, "h264") as first:
        await until(lambda: first.screen.shows(9), "the first player shows the picture")
        async with playing(lesson, "h264") as second:
            await until(lambda: second.screen.shows(9), "the second shows it too")
            await until(lambda: second.speaker.plays(1000), "and sounds the tone")
            assert (await second.delete()).status == 200
        seen = first.screen.frames
        await until(lambda: first.screen.frames > seen + 10 and first.screen.shows(9), "the first goes on")
        assert (await publisher.delete()).status == 200
        assert (await publisher.delete()).problem == (404, "connection_not_found")
