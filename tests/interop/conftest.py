"""The server under test, a process of its own on loopback, and the lessons of the scenarios."""

import asyncio
import inspect
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aioice.ice
import pytest

from lesson import Lesson
from whip import request

BINARY = Path(os.environ.get("MINGSHI_BIN") or Path(__file__).parents[2] / "target/debug/mingshi").resolve()
WORKERS = 2
SCENARIO_SECONDS = 30.0
START_SECONDS = 15.0

# aioice leaves loopback out; here it is all there should be, whatever other interfaces the machine has.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a scenario that is a coroutine, on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    parameters = inspect.signature(pyfuncitem.obj).parameters
    scenario = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in parameters})
    asyncio.run(asyncio.wait_for(scenario, SCENARIO_SECONDS))
    return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A running server: its address, and an operator's token."""
    with serving(tmp_path_factory.mktemp("mingshi")) as running:
        yield running


@contextmanager
def serving(folder: Path, more: dict[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """A server with its data in `folder`, by default as all scenarios share it, with `more` settings."""
    address, log = f"127.0.0.1:{free_tcp_port()}", folder / "server.log"
    settings = {
        "MINGSHI_SERVER_HTTP": address,
        "MINGSHI_SERVER_HTTPS": "",
        "MINGSHI_SERVER_DATA": str(folder / "data"),
        "MINGSHI_MEDIA_UDP_PORT": str(free_udp_ports()),
        "MINGSHI_MEDIA_WORKERS": str(WORKERS),
        "MINGSHI_MEDIA_BIND_ADDRESS": "127.0.0.1",
    } | (more or {})
    with log.open("wb") as output:
        environment = os.environ | settings
        process = subprocess.Popen([BINARY, "serve"], env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        key = operator_key(process, log)
        answer = request(f"http://{address}", "POST", "/api/v1/operator", body={"key": key})
        assert answer.status == 200, answer
        yield f"http://{address}", answer.json["token"]
        assert process.poll() is None, f"the server has stopped by itself:\n{log.read_text()}"
    finally:
        stopped = stop(process)
    assert stopped == 0, f"the server ended with {stopped}:\n{log.read_text()}"
    assert "panicked" not in log.read_text(), log.read_text()


@pytest.fixture
def new_lesson(server: tuple[str, str]) -> Callable[[], Lesson]:
    """Makes a lesson that has not begun."""
    return lambda: Lesson(*server)


@pytest.fixture
def lesson(new_lesson: Callable[[], Lesson]) -> Lesson:
    """A lesson on air."""
    lesson = new_lesson()
    lesson.start()
    return lesson


def operator_key(process: subprocess.Popen[bytes], log: Path) -> str:
    """What the operator link printed at the first start holds; by then the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"/#/operator/(\S+)", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"no operator link:\n{log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> int:
    """Tells the server to stop; its exit code."""
    process.terminate()
    try:
        return process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_tcp_port() -> int:
    """A TCP port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def free_udp_ports() -> int:
    """The first of as many free UDP ports in a row as there are workers."""
    while True:
        first = random.randrange(20_000, 30_000, WORKERS)
        if all(is_free(port) for port in range(first, first + WORKERS)):
            return first


def is_free(port: int) -> bool:
    """Whether nobody uses a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
