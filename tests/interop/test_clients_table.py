"""The table in docs/clients.md names tests that are there, all those of the clients it is about, and the versions in use."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/clients.md"
BEGIN, END = "<!-- clients -->\n", "<!-- end of clients -->\n"
# Every test in these is of a client of another make, and stands in the table.
WHOLE = [
    "tests/e2e/firefox.test.mjs",
    "tests/interop/test_ffmpeg.py",
    "tests/interop/test_gstreamer.py",
    "tests/interop/test_obs.py",
    "tests/interop/test_simple_whip_client.py",
]
TITLES = {
    ".py": r"^(?:async )?def (test_\w+)\(",
    ".rs": r"^#\[tokio::test[^\n]*\n(?:#\[[^\n]*\n)*async fn (\w+)\(",
    ".mjs": r"^test\('((?:[^'\\]|\\.)*)'",
}


class Row(NamedTuple):
    """A line of the table."""

    client: str
    version: str
    shown: str
    file: str
    test: str


def rows() -> list[Row]:
    """The lines of the table after its head."""
    lines = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(*first, *re.fullmatch(r"`([^`]+)`: (.+)", place).groups()) for *first, place in cells]


def titles_in(file: str) -> set[str]:
    """The names of the tests in a file."""
    return set(re.findall(TITLES[Path(file).suffix], (ROOT / file).read_text(), re.MULTILINE))


def test_every_test_in_the_table_is_there() -> None:
    missing = [(row.file, row.test) for row in rows() if row.test not in titles_in(row.file)]
    assert rows() and not missing


def test_every_test_of_a_client_is_in_the_table() -> None:
    named = {(row.file, row.test) for row in rows()}
    assert not [(file, test) for file in WHOLE for test in titles_in(file) if (file, test) not in named]


def test_the_versions_are_those_in_use() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "tests/interop/requirements.txt").read_text(), re.MULTILINE))
    pinned |= dict(re.findall(r'"node-(datachannel)": "(\S+)"', (ROOT / "tests/interop/clients/package.json").read_text()))
    locked = dict(re.findall(r'name = "(webrtc|rtc)"\nversion = "(\S+)"', (ROOT / "Cargo.lock").read_text()))
    oldest = dict(re.findall(r"(chrome|firefox): (\d+)", (ROOT / "web-client/lint/oldest.mjs").read_text()))
    versions = {row.version for row in rows()}
    for version in (
        "9.0 (imageio-ffmpeg {imageio-ffmpeg})",
        "{aiortc}",
        "32.2 (libdatachannel 0.24, node-datachannel {datachannel})",
        "webrtc {webrtc}",
        "rtc {rtc}",
        "{chrome}, {firefox}",
    ):
        assert version.format_map(pinned | locked | oldest) in versions, version
