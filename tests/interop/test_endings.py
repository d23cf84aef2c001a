"""How connections end, and what is left of them."""

import asyncio

from lesson import Lesson
from pattern import Screen
from signals import Camera, Microphone
from whip import Client, until

QUIET_SECONDS = 0.7


async def quiet(screen: Screen) -> None:
    """Returns once nothing has come for a while; fails if something goes on coming."""
    last, since = screen.frames, asyncio.get_running_loop().time()

    def is_quiet() -> bool:
        nonlocal last, since
        now = asyncio.get_running_loop().time()
        if screen.frames != last:
            last, since = screen.frames, now
        return now - since > QUIET_SECONDS

    await until(is_quiet, "the picture stands still", 5 * QUIET_SECONDS)


async def gone(client: Client) -> None:
    """The server has closed the client's connection and knows it no more."""
    await until(lambda: client.closed, "the connection is closed")
    assert (await client.delete()).problem == (404, "connection_not_found")


async def test_after_the_publishers_delete_the_player_sees_no_more(lesson: Lesson) -> None:
    async with lesson.publish("camera", Microphone(400), Camera(5)) as publisher, lesson.play("camera") as player:
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        assert (await publisher.delete()).status == 200
        await quiet(player.screens[0])
        await gone(publisher)
        assert not player.closed, "the player waits for the next"


async def test_after_its_own_delete_the_player_sees_no_more(lesson: Lesson) -> None:
    async with (
        lesson.publish("camera", Microphone(400), Camera(5)) as publisher,
        lesson.play("camera") as player,
        lesson.play("camera", lesson.join("classroom")["token"]) as other,
    ):
        await until(lambda: player.screens[0].shows(5) and other.screens[0].shows(5), "both see the picture")
        assert (await player.delete()).status == 200
        await quiet(player.screens[0])
        await gone(player)
        before = other.screens[0].frames
        await until(lambda: other.screens[0].frames > before, "the other player goes on")
        assert not publisher.closed and not other.closed


async def test_a_publisher_that_only_hangs_up_is_gone_too(lesson: Lesson) -> None:
    async with lesson.play("camera") as player:
        async with lesson.publish("camera", Camera(5)) as publisher:
            await until(lambda: player.screens[0].shows(5), "the picture moves")
        await quiet(player.screens[0])
        assert (await publisher.delete()).problem == (404, "connection_not_found")
        async with lesson.publish("camera", Camera(9)):
            await until(lambda: player.screens[0].shows(9), "the player shows who came back")


async def test_nobody_ends_the_connection_of_another(lesson: Lesson) -> None:
    async with lesson.play("camera") as player:
        player.token, own = lesson.join("classroom")["token"], player.token
        assert (await player.delete()).problem == (404, "connection_not_found")
        player.token = own
        assert (await player.delete()).status == 200


async def test_the_end_of_the_lesson_closes_everything(lesson: Lesson) -> None:
    async with lesson.publish("camera", Microphone(400), Camera(5)) as publisher, lesson.play("camera") as player:
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        lesson.end()
        await gone(publisher)
        await gone(player)
