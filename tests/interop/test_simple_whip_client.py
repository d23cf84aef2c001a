"""Meetecho's simple-whip-client, request by request as its source makes them (src/whip-client.c, October 2025), around the
webrtcbin that it is made of."""

import asyncio

from foreign import CLIENTS, started
from lesson import Lesson
from whip import FRAGMENT, SDP, until

TRICKLE_SECONDS = 0.1
WISH = ["publish", "--video", "h264", "--number", "5", "--audio", "--hertz", "400", "--both-ways"]
COMMAND = ["/usr/bin/python3", CLIENTS / "gstreamer.py", *WISH]


def value(description: str, name: str) -> str:
    """The first attribute of this name."""
    return description.split(f"a={name}:")[1].split("\r\n")[0]


async def test_its_requests_are_met_one_after_the_other(lesson: Lesson) -> None:
    path = lesson.path("whip", "camera")
    async with started(lesson.base, lesson.tokens["studio"], COMMAND) as client, lesson.play("camera") as player:
        # With --follow-link it looks for STUN and TURN servers first; there are none.
        options = await client.call("OPTIONS", path)
        assert options.status in (200, 204)

        # webrtcbin offers sendrecv, and the text is altered on its way: "some servers seem to barf on it otherwise".
        offer = (await client.offered()).replace("sendrecv", "sendonly")
        created = await client.call("POST", path, offer, {"Content-Type": SDP})
        assert created.status == 201
        # It compares all of the header, and takes nothing that doesn't begin with the version.
        assert created.headers["Content-Type"].lower() == SDP and created.text.startswith("v=0\r\n")
        etag, session = created.headers["ETag"], created.headers["Location"]
        assert etag and session.startswith("/")
        connecting = asyncio.create_task(client.answered(created.text))

        # Every 100 ms it sends the candidates of the first m-line and component that have come, below a made-up m-line.
        sent = ended = 0
        while not ended:
            await asyncio.sleep(TRICKLE_SECONDS)
            ended = "complete" in client.gathering
            of_first = [text for line, text in client.candidates if line == 0 and text.split()[1] == "1"]
            lines = [f"a=ice-ufrag:{value(offer, 'ice-ufrag')}", f"a=ice-pwd:{value(offer, 'ice-pwd')}", "m=audio 9 RTP/AVP 0"]
            lines += [f"a=mid:{value(offer, 'mid')}", *(f"a={text}" for text in of_first[sent:])]
            lines += ["a=end-of-candidates"] if ended else []
            sent = len(of_first)
            fragment = "".join(f"{line}\r\n" for line in lines)
            headers = {"Content-Type": FRAGMENT, "If-Match": etag}
            assert (await client.call("PATCH", session, fragment, headers)).status == 204
        assert sent

        await connecting
        await until(lambda: player.screens[0].shows(5), "the picture moves")
        await until(lambda: player.speakers[0].plays(400), "the tone sounds")
        # It sends If-Match with DELETE too.
        assert (await client.call("DELETE", session, headers={"If-Match": etag})).status == 200
