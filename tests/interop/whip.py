"""A small WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) client over aiortc, as another project might have one."""

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from pattern import Screen, Speaker
from signals import reading, samples

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        """The body, of JSON."""
        return json.loads(self.text)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and code of a problem document (RFC 9457), which has to be whole."""
        assert self.headers.get_content_type() == "application/problem+json", self
        document = self.json
        assert document["status"] == self.status and document["type"] == f"urn:mingshi:problem:{document['code']}", self
        assert all(document[key] for key in ("title", "detail", "title_zh", "detail_zh")), self
        return self.status, document["code"]


def request(
    base: str, method: str, path: str, token: str | None = None, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    """One HTTP exchange; a body that isn't text is sent as JSON."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body.encode() if body is not None else None, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


async def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Returns as soon as the condition holds; fails with `what` if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


class Refused(Exception):
    """The offer was not met."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.text}")
        self.answer = answer


class Client:
    """One WHIP or WHEP connection: a peer connection and its place on the server."""

    def __init__(self, base: str, token: str | None) -> None:
        self.base = base
        self.token = token
        # By default aiortc asks a STUN server on the internet, and of several videos bundles only the first.
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.asked_at = 0.0
        self.answer: Answer
        self.screens: list[Screen] = []
        self.speakers: list[Speaker] = []
        self._received: list[tuple[RTCRtpTransceiver, Screen | Speaker]] = []
        self._watching: list[asyncio.Task[None]] = []

    def send(self, track: MediaStreamTrack, codec: str | None = None) -> None:
        """Offers a track, if it is of the kind that has this codec, with it alone."""
        _only(self.peer.addTransceiver(track, direction="sendonly"), codec)

    def receive(self, kind: str, codec: str | None = None) -> None:
        """Offers to receive, on a screen or a speaker of its own; `codec` as in `send`."""
        transceiver = self.peer.addTransceiver(kind, direction="recvonly")
        _only(transceiver, codec)
        watched: Screen | Speaker = Screen() if kind == "video" else Speaker()
        (self.screens if isinstance(watched, Screen) else self.speakers).append(watched)
        self._received.append((transceiver, watched))

    async def open(self, path: str) -> Self:
        """Makes the offer and takes the answer; raises Refused without one."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        self.asked_at = time.monotonic()
        offer = self.peer.localDescription.sdp
        self.answer = await self.call("POST", path, offer, {"Content-Type": SDP})
        if self.answer.status != 201:
            raise Refused(self.answer)
        await self.peer.setRemoteDescription(RTCSessionDescription(self.answer.text, "answer"))
        # There are tracks only now.
        watching = (_watch(transceiver.receiver.track, watched) for transceiver, watched in self._received)
        self._watching = [asyncio.create_task(one) for one in watching]
        await until(lambda: self.peer.connectionState == "connected", f"{path} is connected")
        return self

    async def trickle(self, fragment: str, if_match: str | None) -> Answer:
        """Sends a fragment with candidates (RFC 9725 §4.3)."""
        headers = {"Content-Type": FRAGMENT} | ({"If-Match": if_match} if if_match else {})
        return await self.call("PATCH", self.answer.headers["Location"], fragment, headers)

    async def delete(self) -> Answer:
        """Asks the server to end the connection, and leaves the peer connection as it is."""
        return await self.call("DELETE", self.answer.headers["Location"])

    async def call(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One HTTP exchange with this client's token."""
        return await asyncio.to_thread(request, self.base, method, path, self.token, body, headers)

    @property
    def closed(self) -> bool:
        """Whether the other end closed the connection: nothing here does before the scenario is over."""
        return self.peer.connectionState == "closed"

    async def leave(self) -> None:
        """Ends everything."""
        await self.peer.close()
        for task in self._watching:
            task.cancel()


async def _watch(track: MediaStreamTrack, watched: Screen | Speaker) -> None:
    try:
        while True:
            frame = await track.recv()
            watched.show(reading(frame)) if isinstance(watched, Screen) else watched.play(samples(frame))
    except MediaStreamError:
        return


def _only(transceiver: RTCRtpTransceiver, codec: str | None) -> None:
    mime_type = f"{transceiver.kind}/{codec}".lower()
    known = RTCRtpReceiver.getCapabilities(transceiver.kind).codecs
    # No preference at all stands for every codec.
    transceiver.setCodecPreferences([one for one in known if one.mimeType.lower() == mime_type])


@asynccontextmanager
async def publish(
    base: str, path: str, token: str, tracks: Sequence[MediaStreamTrack], codec: str | None = None
) -> AsyncIterator[Client]:
    """A WHIP publisher of these tracks."""
    client = Client(base, token)
    for track in tracks:
        client.send(track, codec)
    try:
        yield await client.open(path)
    finally:
        await client.leave()


@asynccontextmanager
async def play(
    base: str, path: str, token: str, audios: int, videos: int, codec: str | None = None
) -> AsyncIterator[Client]:
    """A WHEP player with so many speakers and screens."""
    client = Client(base, token)
    for kind in ["audio"] * audios + ["video"] * videos:
        client.receive(kind, codec)
    try:
        yield await client.open(path)
    finally:
        await client.leave()
