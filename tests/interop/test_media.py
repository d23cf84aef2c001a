"""What aiortc publishes over WHIP, aiortc receives over WHEP."""

import pytest
from conftest import Lesson
from signals import Camera, Microphone
from whip import until


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_voice_and_picture_arrive_as_sent(lesson: Lesson, codec: str) -> None:
    async with (
        lesson.publish("camera", Microphone(400), Camera(5), codec=codec) as publisher,
        lesson.play("camera") as player,
    ):
        await until(lambda: player.screens[0].shows(5), "the picture moves on the player's screen")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds at the player")
        assert not player.speakers[0].plays(800)
        assert not publisher.closed and not player.closed
