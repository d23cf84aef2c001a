"""OBS Studio publishes: its library (libdatachannel), its offer, its packets and its requests, as its source has them
(obs-studio 32.2, plugins/obs-webrtc/whip-output.cpp)."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from foreign import CLIENTS, Foreign, foreign
from lesson import Lesson
from recording import Recording
from whip import Refused, until

FULL, OTHER = Recording(5, 400), Recording(8, 400)
# A keyframe every 8.5 s.
RARE = Recording(9, 400, keyframe_every=256)
# OBS has its best encoding first, where browsers have the least.
LAYERS = [FULL, Recording(6, 400, shrunk=2), Recording(7, 400, shrunk=4)]
# What the header that OBS writes looks like; it has more words than a browser's.
USER_AGENT = "Mozilla/5.0 (OBS-Studio/32.2.1; Windows x86_64; zh-CN)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recordings are."""
    return tmp_path_factory.mktemp("recordings")


def obs(lesson: Lesson, folder: Path, recordings: Iterable[Recording] = (FULL,)) -> AbstractAsyncContextManager[Foreign]:
    """OBS with the lesson as its service: the address with the source, and the token as the bearer token."""
    paths = []
    for one in recordings:
        path = folder / f"{one.number}.json"
        paths.append(path if path.exists() else one.write(path))
    command = ["node", CLIENTS / "obs.mjs", *paths]
    return foreign(lesson.base, lesson.path("whip", "camera"), lesson.tokens["studio"], command, USER_AGENT)


async def test_voice_and_picture_of_obs_arrive(lesson: Lesson, folder: Path) -> None:
    async with obs(lesson, folder) as studio, lesson.play("camera", codec="H264") as player:
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds")
        # OBS takes what doesn't begin with `http` for a path of the same host, and knows no query there.
        assert studio.answer.headers["Location"].startswith("/whip/") and "?" not in studio.answer.headers["Location"]
        # OBS counts any other status than 200 as failed.
        assert (await studio.delete()).status == 200


async def test_who_joins_late_has_a_picture_though_obs_makes_no_keyframe_for_it(lesson: Lesson, folder: Path) -> None:
    async with obs(lesson, folder, [RARE]), lesson.play("camera", codec="H264") as first:
        await until(lambda: first.screens[0].shows(9), "the lesson is seen")
        async with lesson.play("camera", codec="H264") as late:
            await until(lambda: late.screens[0].shows(9), "the picture moves")
        counts = [one.count for one in first.screens[0].readings]
        assert counts == sorted(counts), "the next keyframe has yet to come"


async def test_obs_that_comes_back_takes_its_own_place(lesson: Lesson, folder: Path) -> None:
    async with obs(lesson, folder) as lost, lesson.play("camera", codec="H264") as player:
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        # After a broken line OBS begins anew; the server may not have noticed yet that the old one is gone.
        async with obs(lesson, folder, [OTHER]):
            await until(lambda: player.screens[0].shows(8), "the new connection is seen")
            assert (await lost.delete()).problem == (404, "connection_not_found")


async def test_simulcast_of_obs(lesson: Lesson, folder: Path) -> None:
    async with obs(lesson, folder, LAYERS) as studio, lesson.play("camera", codec="H264") as player:
        # OBS goes on air only if the answer takes as many encodings as it offered, which it counts by the semicolons.
        [accepted] = [line for line in studio.answer.text.split("\r\n") if line.startswith("a=simulcast")]
        assert accepted.count(";") + 1 == len(LAYERS)
        await until(lambda: player.screens[0].shows(5), "the best encoding is seen")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds")


async def test_four_encodings_are_refused_in_words(lesson: Lesson, folder: Path) -> None:
    with pytest.raises(Refused) as refused:
        async with obs(lesson, folder, [*LAYERS, OTHER]):
            pass
    assert refused.value.answer.status == 422 and "at most 3" in refused.value.answer.json["detail"]
