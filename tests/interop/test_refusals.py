"""What is refused is told by status and problem document, and what is trickled is taken."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from lesson import Lesson
from signals import Camera, Microphone
from whip import SDP, Client, Refused

GARBAGE = "v=0\r\nthis is no session description\r\n"
ROLES = {"whip": "studio", "whep": "classroom"}
WAYS = pytest.mark.parametrize("way", ROLES)
AS_SDP = {"Content-Type": SDP}


def connecting(lesson: Lesson, way: str, token: str | None = None) -> AbstractAsyncContextManager[Client]:
    """The studio that publishes, or a classroom that plays, voice and picture."""
    if way == "whip":
        return lesson.publish("camera", Microphone(400), Camera(5), token=token)
    return lesson.play("camera", token)


async def refusal(connection: AbstractAsyncContextManager[Client]) -> tuple[int, str]:
    """Status and code with which this connection is refused."""
    try:
        async with connection:
            pytest.fail("the offer was answered")
    except Refused as refused:
        return refused.answer.problem


@WAYS
async def test_a_wrong_token_and_none(lesson: Lesson, way: str) -> None:
    forged = lesson.tokens[ROLES[way]][:-4] + "AAAA"
    assert await refusal(connecting(lesson, way, forged)) == (401, "token_invalid")
    nobody = await Client(lesson.base, None).call("POST", lesson.path(way, "camera"), GARBAGE, AS_SDP)
    assert nobody.problem == (401, "token_missing")


@WAYS
async def test_the_token_of_another_lesson(lesson: Lesson, new_lesson: Callable[[], Lesson], way: str) -> None:
    another = new_lesson().tokens[ROLES[way]]
    assert await refusal(connecting(lesson, way, another)) == (403, "token_of_another_lesson")


async def test_a_classroom_publishes_nothing_but_its_camera(lesson: Lesson) -> None:
    token = lesson.tokens["classroom"]
    assert await refusal(lesson.publish("slides", Camera(5), token=token)) == (403, "source_not_allowed")
    assert await refusal(lesson.publish(None, Camera(5), token=token)) == (403, "role_not_allowed")


@WAYS
async def test_a_malformed_offer(lesson: Lesson, way: str) -> None:
    client = Client(lesson.base, lesson.tokens[ROLES[way]])
    answer = await client.call("POST", lesson.path(way, "camera"), GARBAGE, AS_SDP)
    assert answer.problem == (400, "bad_offer")


@WAYS
async def test_an_offer_of_the_wrong_type(lesson: Lesson, way: str) -> None:
    client = Client(lesson.base, lesson.tokens[ROLES[way]])
    answer = await client.call("POST", lesson.path(way, "camera"), "{}", {"Content-Type": "application/json"})
    assert answer.problem == (415, "wrong_content_type")
    assert answer.headers["Accept-Post"] == SDP


async def test_an_offer_without_a_codec_of_ours(lesson: Lesson) -> None:
    publisher = lesson.publish("camera", Microphone(400), Camera(5), codec="PCMA")
    player = lesson.play("camera", codec="PCMA")
    assert await refusal(publisher) == (422, "offer_unsatisfiable")
    assert await refusal(player) == (422, "offer_unsatisfiable")


@WAYS
async def test_a_lesson_that_has_ended(lesson: Lesson, way: str) -> None:
    lesson.end()
    assert await refusal(connecting(lesson, way)) == (409, "lesson_ended")


async def test_before_the_lesson_the_studio_rehearses_and_nobody_watches(new_lesson: Callable[[], Lesson]) -> None:
    lesson = new_lesson()
    async with connecting(lesson, "whip"):
        assert await refusal(connecting(lesson, "whep")) == (409, "lesson_not_live")


@WAYS
async def test_candidates_are_trickled(lesson: Lesson, way: str) -> None:
    async with connecting(lesson, way) as client:
        location, etag = client.answer.headers["Location"], client.answer.headers["ETag"]
        assert location.startswith(f"/{way}/{lesson.id}/c/")
        fragment = fragment_of(client.peer.localDescription.sdp)
        assert (await client.trickle(fragment, etag)).status == 204
        assert (await client.trickle(fragment, None)).problem == (428, "etag_missing")
        assert (await client.trickle(fragment, '"another"')).problem == (412, "etag_stale")
        assert (await client.trickle(GARBAGE, etag)).problem == (422, "fragment_unusable")
        assert not client.closed


def fragment_of(description: str) -> str:
    """The ICE session and the candidates of a description's first medium, as a fragment (RFC 8840 §9)."""
    medium = description.split("\r\nm=")[1].split("\r\n")
    credentials = [line for line in medium if line.startswith(("a=ice-ufrag:", "a=ice-pwd:"))]
    candidates = [line for line in medium if line.startswith(("a=mid:", "a=candidate:", "a=end-of-candidates"))]
    return "\r\n".join([*credentials, f"m={medium[0]}", *candidates, ""])
