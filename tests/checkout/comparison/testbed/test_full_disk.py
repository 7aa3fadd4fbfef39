"""A process whose disk is full writes nothing until it has room again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from checkout.comparison.testbed.full_disk import empty_disk, fill_disk

WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "w") as file:
            file.write(line)
        print("written", flush=True)
    except OSError:
        print("no room", flush=True)
"""
IMPORTER = """
import sys
sys.modules["resource"] = None
import checkout.comparison.testbed.shop_process, checkout.comparison.testbed.switch_process
"""


def test_a_process_with_a_full_disk_writes_nothing_until_it_has_room(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None and writer.stdout is not None

        def write() -> str:
            writer.stdin.write("a line\n")  # type: ignore[union-attr]
            writer.stdin.flush()  # type: ignore[union-attr]
            return writer.stdout.readline().strip()  # type: ignore[union-attr]

        assert write() == "written"
        fill_disk(writer.pid)
        assert write() == "no room"
        empty_disk(writer.pid)
        assert write() == "written"
        writer.stdin.close()


def test_a_process_that_has_ended_has_no_disk_to_fill() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    fill_disk(ended.pid)
    empty_disk(ended.pid)


def test_the_testbed_can_be_imported_without_the_resource_module() -> None:
    subprocess.run([sys.executable, "-c", IMPORTER], check=True)
