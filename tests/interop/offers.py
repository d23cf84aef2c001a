"""Offers as plain text, so that one line at a time can be wrong."""

from dataclasses import dataclass, field

CREDENTIALS = ["a=ice-ufrag:EsAw", "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1"]
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(f"{octet:02X}" for octet in range(32))
MID_EXTENSION = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"
RID_EXTENSION = "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
DIRECTIONS = {"whip": "sendonly", "whep": "recvonly"}


@dataclass
class Section:
    """An m-line with its attributes."""

    kind: str
    mid: str
    direction: str
    port: int = 9
    setup: str = "actpass"
    mux: bool = True
    codecs: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=lambda: list(CREDENTIALS))
    fingerprint: str = FINGERPRINT
    more: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Its text."""
        known = {"audio": ["111 opus/48000/2"], "video": ["96 VP8/90000"]}
        codecs = self.codecs or known[self.kind]
        numbers = " ".join(codec.split()[0] for codec in codecs)
        return [
            f"m={self.kind} {self.port} UDP/TLS/RTP/SAVPF {numbers}",
            "c=IN IP4 0.0.0.0",
            *self.credentials,
            *([self.fingerprint] if self.fingerprint else []),
            f"a=setup:{self.setup}",
            f"a=mid:{self.mid}",
            f"a={self.direction}",
            MID_EXTENSION,
            *(["a=rtcp-mux", "a=rtcp-mux-only"] if self.mux else []),
            *(f"a=rtpmap:{codec}" for codec in codecs),
            *self.more,
        ]


@dataclass
class Offer:
    """A voice and a picture, as a studio sends them or a classroom wants them."""

    way: str
    sections: list[Section] = field(default_factory=list)
    bundled: bool = True
    session: list[str] = field(default_factory=lambda: ["a=ice-options:trickle ice2"])

    def __post_init__(self) -> None:
        direction = DIRECTIONS[self.way]
        self.sections = self.sections or [Section("audio", "0", direction), Section("video", "1", direction)]

    def each(self, **changes: object) -> "Offer":
        """The same with these values in every m-line."""
        for section in self.sections:
            for name, value in changes.items():
                assert hasattr(section, name), name
                setattr(section, name, value)
        return self

    def __str__(self) -> str:
        mids = " ".join(section.mid for section in self.sections)
        head = ["v=0", "o=- 5228595038118931041 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        group = [f"a=group:BUNDLE {mids}"] if self.bundled else []
        body = [line for section in self.sections for line in section.lines()]
        return "".join(f"{line}\r\n" for line in [*head, *group, *self.session, *body])


def sections_of(description: str) -> list[list[str]]:
    """The lines of each m-line of a description, after those of the session."""
    return [part.splitlines() for part in description.split("\r\nm=")]


def fragment(*lines: str, credentials: list[str] | None = None) -> str:
    """An SDP fragment (RFC 8840 §9) of the first m-line."""
    head = ["a=group:BUNDLE 0 1", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"]
    return "".join(f"{line}\r\n" for line in [*head, *(CREDENTIALS if credentials is None else credentials), *lines])
