"""What the conformance tests share: the rule that each is of, and the endpoint as somebody with a token sees it."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from lesson import Lesson
from offers import Offer, sections_of
from whip import FRAGMENT, SDP, Answer, request

ROLES = {"whip": "studio", "whep": "classroom"}
ANSWERED = {"whip": "a=recvonly", "whep": "a=sendonly"}
NEW_CREDENTIALS = ["a=ice-ufrag:ysXw", "a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k"]
CANDIDATE = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host"
LARGEST_SDP = 256 * 1024
BOTH = ("whip", "whep")

Test = Callable[..., Any]


def rule(section: str, status: str, words: str, ways: tuple[str, ...] = BOTH) -> Callable[[Test], Test]:
    """A rule of the table: its section in RFC 9725 (or `WHEP`), the statuses it is about, and what it says."""

    def mark(test: Test) -> Test:
        test.rule = (section, status, words, ways)  # type: ignore[attr-defined]
        return pytest.mark.parametrize("way", ways)(test)

    return mark


@dataclass
class Site:
    """The endpoint of a lesson's camera, as somebody with a token sees it."""

    lesson: Lesson
    way: str
    token: str | None

    @property
    def path(self) -> str:
        """The endpoint's."""
        return self.lesson.path(self.way, "camera")

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One exchange; `Content_Type` stands for `Content-Type`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(self.lesson.base, method, path, self.token, body, named)

    def post(self, offer: Offer | str | None = None, path: str | None = None, **headers: str) -> Answer:
        """An offer, by default one that can be met."""
        body = str(offer if offer is not None else Offer(self.way))
        return self.call("POST", path or self.path, body, **({"Content_Type": SDP} | headers))

    def patch(self, session: Answer, body: str, if_match: str | None = None, content_type: str = FRAGMENT) -> Answer:
        """A fragment for a session."""
        headers = {"Content_Type": content_type} | ({"If_Match": if_match} if if_match is not None else {})
        return self.call("PATCH", session.headers["Location"], body, **headers)

    def session(self, offer: Offer | None = None) -> Answer:
        """An offer that has to be met."""
        answer = self.post(offer)
        assert answer.status == 201, answer
        return answer


@pytest.fixture
def site(lesson: Lesson, way: str) -> Site:
    """The studio at WHIP, a classroom at WHEP."""
    return Site(lesson, way, lesson.tokens[ROLES[way]])


def media_of(session: Answer) -> list[list[str]]:
    """The lines of each m-line of an answer, all of them alive."""
    sections = sections_of(session.text)[1:]
    assert all(section[0].split()[1] != "0" for section in sections), session.text
    return sections


def value(text: str, name: str) -> str:
    """What follows `name` in the first line that begins so."""
    return next(line.removeprefix(name) for line in text.splitlines() if line.startswith(name))


def listed(answer: Answer, name: str) -> set[str]:
    """The words of a header that is a list."""
    return {word.strip() for word in (answer.headers[name] or "").split(",")}


def raw(site: Site, body: bytes) -> Answer:
    """An offer of these octets."""
    connection = http.client.HTTPConnection(site.lesson.base.removeprefix("http://"), timeout=10)
    connection.request("POST", site.path, body, {"Content-Type": SDP, "Authorization": f"Bearer {site.token}"})
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read().decode())
    connection.close()
    return answer
