"""A client of another make: its media in a process of its own, which says what it does one JSON document a line; its
HTTP exchange here."""

import asyncio
import base64
import json
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from pattern import Reading, Screen, Speaker
from whip import SDP, Answer, Refused, request, until

CLIENTS = Path(__file__).parent / "clients"
# A line holds 20 ms of sound, or an offer.
LONGEST_LINE = 1 << 20


class Foreign:
    """One WHIP or WHEP connection of another make."""

    def __init__(self, base: str, token: str, process: asyncio.subprocess.Process, user_agent: str | None) -> None:
        self.base = base
        self.token = token
        self.user_agent = user_agent
        self.offer: str | None = None
        self.candidates: list[tuple[int, str]] = []
        self.gathering: list[str] = []
        self.states: list[str] = []
        self.errors: list[str] = []
        self.screen = Screen()
        self.speaker = Speaker()
        self.answer: Answer
        self._process = process
        self._listening = asyncio.create_task(self._listen())

    async def open(self, path: str) -> Self:
        """Sends the offer and hands over the answer; raises Refused without one."""
        self.answer = await self.call("POST", path, await self.offered(), {"Content-Type": SDP})
        if self.answer.status != 201:
            raise Refused(self.answer)
        await self.answered(self.answer.text)
        return self

    async def offered(self) -> str:
        """What the process offers."""
        await until(lambda: self.offer or self.errors, "there is an offer")
        assert self.offer, self.errors
        return self.offer

    async def answered(self, answer: str) -> None:
        """Hands over the answer, and waits until there is a connection."""
        await self.tell(answer=answer)
        await until(lambda: "connected" in self.states, "it is connected")

    async def tell(self, **what: Any) -> None:
        """Tells the process."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def delete(self) -> Answer:
        """Asks the server to end the connection."""
        return await self.call("DELETE", self.answer.headers["Location"])

    async def call(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One HTTP exchange with this client's token."""
        if self.user_agent:
            headers = {"User-Agent": self.user_agent} | (headers or {})
        return await asyncio.to_thread(request, self.base, method, path, self.token, body, headers)

    async def leave(self) -> None:
        """Ends the process, which ends by itself when its input does."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            self.errors.append("it didn't end with its input")
        await self._listening
        assert not self.errors and self._process.returncode == 0, (self.errors, self._process.returncode)

    async def _listen(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            for what, said in json.loads(line).items():
                self._hear(what, said)

    def _hear(self, what: str, said: Any) -> None:
        match what:
            case "offer":
                self.offer = said
            case "candidate":
                self.candidates.append(tuple(said))
            case "gathering":
                self.gathering.append(said)
            case "state":
                self.states.append(said)
            case "error":
                self.errors.append(said)
            case "picture":
                self.screen.show(Reading(*said) if said else None)
            case "sound":
                self.speaker.play(array("h", base64.b64decode(said)))


@asynccontextmanager
async def started(
    base: str, token: str, command: Sequence[str | Path], user_agent: str | None = None
) -> AsyncIterator[Foreign]:
    """The client that this command starts, not connected yet."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LONGEST_LINE)
    client = Foreign(base, token, process, user_agent)
    try:
        yield client
    finally:
        await client.leave()


@asynccontextmanager
async def foreign(
    base: str, path: str, token: str, command: Sequence[str | Path], user_agent: str | None = None
) -> AsyncIterator[Foreign]:
    """The client that this command starts, connected."""
    async with started(base, token, command, user_agent) as client:
        yield await client.open(path)
