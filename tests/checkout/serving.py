"""A whole `checkout serve` for tests: the real processes, a free port, a home of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """A running checkout; `stop` ends it with SIGTERM and returns how long that took."""

    def __init__(
        self, home: Path, *options: str, python: Sequence[str] = (sys.executable,)
    ) -> None:
        self.home = home
        self.port = free_port()
        self.origin = f"http://localhost:{self.port}"
        self._said = home.parent / f"said-{self.port}.txt"
        with self._said.open("wb") as out:
            self.process = subprocess.Popen(
                [*python, "-m", "checkout", "serve", "--port", str(self.port), *options],
                env=os.environ | {"CHECKOUT_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await()

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def _await(self) -> None:
        deadline = time.monotonic() + START_S
        while "Ctrl-C stops" not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"it did not start: {self.said}")
            time.sleep(0.05)

    @property
    def merchant_key(self) -> str:
        return (self.home / "keys" / "merchant-key").read_text(encoding="utf-8").strip()

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One API call with the merchant key; status and JSON body, errors too."""
        headers = {"Authorization": f"Bearer {self.merchant_key}"}
        if method == "POST":
            headers |= {"Idempotency-Key": os.urandom(12).hex()}
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(
            f"{self.origin}/api/v1{path}", content, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def order(self, amount_minor: int = 1280) -> dict[str, Any]:
        """A new order."""
        body = {"amount_minor": amount_minor, "currency": "CNY", "reference": "tea"}
        status, order = self.call("POST", "/orders", body)
        assert status == 201, order
        return order

    def roles(self) -> dict[int, str]:
        """Process ids of the roles and of the web workers, by what they are."""
        children = children_of(self.process.pid)
        named = {pid: role_of(pid) for pid in children}
        for pid, name in list(named.items()):
            if name == "web":
                named |= dict.fromkeys(children_of(pid), "worker")
        return named

    def stop(self) -> float:
        """SIGTERM, as an operator or systemd would; seconds until all of it was gone."""
        everyone = [self.process.pid, *self.roles()]
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        while any(alive(pid) for pid in everyone) and time.monotonic() - began < 30:
            time.sleep(0.02)
        return time.monotonic() - began

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        for pid in [*self.roles(), self.process.pid]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in listed.read_text().split()]
    except OSError:
        return []


def role_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3].decode()
    except (OSError, IndexError):
        return ""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def events(stream: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each server-sent event, comments left out."""
    name, text = "message", ""
    for raw in stream:
        line = raw.decode().rstrip("\r\n")
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            text += line[5:].strip()
        elif not line and text:
            yield name, json.loads(text)
            name, text = "message", ""
