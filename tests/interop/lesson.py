"""A lesson on the server under test, and its ends."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from aiortc.mediastreams import MediaStreamTrack

from whip import Answer, Client, play, publish, request


@dataclass
class Lesson:
    """A lesson on the server, with the tokens of its studio and of a classroom."""

    base: str
    operator: str
    id: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        created = self.api("POST", "/api/v1/lessons", {"title": "五年级英语"})
        assert created.status == 201, created
        self.id = created.json["id"]
        self.tokens = {role: self.join(role)["token"] for role in ("studio", "classroom")}

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        """A call of the operator's."""
        return request(self.base, method, path, self.operator, body)

    def join(self, role: str) -> dict[str, str]:
        """Another participant: its `token` and its id, `participant`."""
        answer = self.api("POST", f"/api/v1/lessons/{self.id}/tokens", {"role": role})
        assert answer.status == 201, answer
        return answer.json

    def start(self) -> None:
        """The lesson begins."""
        assert self.api("POST", f"/api/v1/lessons/{self.id}/start").status == 200

    def end(self) -> None:
        """The lesson is over."""
        assert self.api("POST", f"/api/v1/lessons/{self.id}/end").status == 200

    def put_on_stage(self, *participants: str) -> None:
        """These classrooms, and no others, are on stage."""
        answer = self.api("PUT", f"/api/v1/lessons/{self.id}/stage", {"participants": participants})
        assert answer.status == 200, answer

    def publish(
        self, source: str | None, *tracks: MediaStreamTrack, token: str | None = None, codec: str | None = None
    ) -> AbstractAsyncContextManager[Client]:
        """A publisher, by default the studio; without a source, the studio page's one connection."""
        return publish(self.base, self.path("whip", source), token or self.tokens["studio"], tracks, codec)

    def play(
        self, source: str | None, token: str | None = None, audios: int = 1, videos: int = 1, codec: str | None = None
    ) -> AbstractAsyncContextManager[Client]:
        """A player, by default the classroom; without a source, of the whole lesson."""
        return play(self.base, self.path("whep", source), token or self.tokens["classroom"], audios, videos, codec)

    def path(self, way: str, source: str | None = None) -> str:
        """The endpoint of the lesson or of one source of it."""
        return f"/{way}/{self.id}" + (f"/{source}" if source else "")
