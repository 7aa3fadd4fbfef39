"""The command line itself: version, help, completion, usage errors, output without escape codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from checkout.commands import cli

CHECKOUT = [sys.executable, "-m", "checkout"]


def every_command(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from every_command(command)
        else:
            yield command


def test_every_command_and_option_says_what_it_is_for() -> None:
    for command in every_command(cli.commands):
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)
                shown = parameter.make_metavar(click.Context(command))
                vague = shown in ("TEXT", "INTEGER", "FLOAT", "PATH", "FILENAME")
                assert (
                    not vague
                    or "reader" in str(parameter.name)
                    or parameter.name
                    in (
                        "on",
                        "label",
                    )
                ), (command.name, parameter.name, shown)


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "checkout"
    assert version == "unknown" or version[0].isdigit()


@pytest.mark.parametrize("command", ["serve", "switch", "pay", "compare"])
def test_on_windows_a_command_that_needs_another_system_says_so_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_ON_WINDOWS", True)
    needed = ["--mode", "qr", "--amount", "1"] if command == "pay" else []
    assert cli.main([command, *needed]) == 1
    assert capsys.readouterr().err == f"checkout {command}: needs Linux or macOS\n"
    assert cli.main(["payers", "--json"]) == 0  # the others go on


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert f"_CHECKOUT_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_bash_completes_the_names_of_payers() -> None:
    words = os.environ | {
        "COMP_WORDS": "checkout pay --payer visa",
        "COMP_CWORD": "3",
        "_CHECKOUT_COMPLETE": "bash_complete",
    }
    found = subprocess.run(
        CHECKOUT, env=words, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout.split() == ["plain,visa-abroad"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["qr"], "checkout qr: expected one of: make, read (see checkout qr --help)\n"),
        (["--dance"], "checkout: No such option '--dance'. (see checkout --help)\n"),
        (
            ["pay", "--mode"],
            "checkout pay: Option '--mode' requires an argument. (see checkout pay --help)\n",
        ),
        (
            ["pay", "--amount", "1"],
            "checkout pay: Missing option '--mode'. Choose from: qr, nfc"
            " (see checkout pay --help)\n",
        ),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("arguments", [["payers"], ["readers"], ["--help"], ["pay", "--help"]])
def test_a_pipe_gets_no_escape_codes(arguments: list[str], tmp_path: Path) -> None:
    shown = subprocess.run(
        [*CHECKOUT, *arguments],
        env=os.environ | {"CHECKOUT_HOME": str(tmp_path), "TERM": "xterm-256color"},
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout
    assert shown and b"\x1b" not in shown
