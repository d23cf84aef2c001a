"""What aiortc publishes over WHIP, aiortc receives over WHEP."""

import pytest
from lesson import Lesson
from signals import Camera, Microphone
from whip import until

LATE_JOIN_SECONDS = 3.0


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


async def test_a_source_is_received_by_its_name(lesson: Lesson) -> None:
    async with (
        lesson.publish("camera", Camera(1)),
        lesson.publish("slides", Camera(2)),
        lesson.play("slides") as player,
    ):
        await until(lambda: player.screens[0].shows(2), "the slides are shown, not the camera")


async def test_a_player_that_is_there_first_gets_what_begins_later(lesson: Lesson) -> None:
    async with lesson.play("camera") as player:
        assert player.screens[0].frames == 0
        async with lesson.publish("camera", Microphone(400), Camera(5)):
            await until(lambda: player.screens[0].shows(5), "the picture begins")
            await until(lambda: player.speakers[0].plays(400), "the tone begins")


async def test_who_joins_late_has_a_picture_at_once(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    camera = Camera(5)
    async with lesson.publish("camera", Microphone(400), camera):
        # An encoder of aiortc's makes a keyframe only at its beginning and when it is asked.
        await until(lambda: camera.pictures > 30, "the lesson has gone on for two seconds")
        async with lesson.play("camera") as player:
            await until(lambda: player.screens[0].readings, "there is a picture", LATE_JOIN_SECONDS)
            waited = (player.screens[0].first_at or 0.0) - player.asked_at
            with capsys.disabled():
                print(f"\nfirst picture {1000 * waited:.0f} ms after the offer")
            assert waited < LATE_JOIN_SECONDS
            await until(lambda: player.screens[0].shows(5), "the picture moves")


async def test_the_next_publisher_of_a_source_takes_its_place(lesson: Lesson) -> None:
    async with lesson.publish("camera", Microphone(400), Camera(5)) as first, lesson.play("camera") as player:
        await until(lambda: player.screens[0].shows(5) and player.speakers[0].plays(400), "the first is received")
        async with lesson.publish("camera", Microphone(1000), Camera(9)) as second:
            await until(lambda: player.screens[0].shows(9), "the player shows the second's picture")
            await until(lambda: player.speakers[0].plays(1000), "the player sounds the second's tone")
            await until(lambda: first.closed, "the first's connection is closed")
            assert (await first.delete()).problem == (404, "connection_not_found")
            # The player is where it was: one offer, one answer, the same connection.
            assert not player.closed and not second.closed


async def test_the_whole_lesson_comes_through_slots(lesson: Lesson) -> None:
    on_stage = lesson.join("classroom")
    async with (
        lesson.publish(None, Microphone(400), Camera(1), Camera(2)),
        lesson.publish("camera", Microphone(1000), Camera(3), token=on_stage["token"]),
        lesson.play(None, audios=2, videos=3) as player,
    ):
        teacher, stage_voice = player.speakers
        slides, camera, stage = player.screens
        await until(lambda: camera.shows(1), "the first video sent is the camera, in the second slot")
        await until(lambda: slides.shows(2), "the second video sent is the slides, in the first slot")
        await until(lambda: teacher.plays(400), "the voice is in the teacher's slot")
        assert stage.frames == stage_voice.frames == 0

        lesson.put_on_stage(on_stage["participant"])
        await until(lambda: stage.shows(3), "the classroom on stage is seen")
        await until(lambda: stage_voice.plays(1000), "the classroom on stage is heard")
        assert camera.shows(1) and slides.shows(2) and teacher.plays(400)
