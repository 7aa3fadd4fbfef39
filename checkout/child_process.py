"""How this project starts its own modules as processes: from the installation it runs from.

A child finds `checkout`, `devices` and the rest where its parent found them. It never looks in the
current directory, where a folder that happens to be called `checkout` would be run in their place.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

#: The directory that `checkout` was imported from: site-packages, or the root of a source tree.
_PACKAGES = str(Path(__file__).resolve().parents[1])


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module; start it with `module_environment`."""
    return [sys.executable, "-m", module, *arguments]


def module_environment(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """This process's environment, and `more`, for a child that runs one of our modules.

    Python, and every Python that the child starts, leaves the current directory out of `sys.path`
    (PYTHONSAFEPATH). Of PYTHONPATH only absolute entries remain: an empty one is that directory.
    """
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in inherited if Path(path).is_absolute()]
    if _PACKAGES not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths.insert(0, _PACKAGES)  # not site-packages, which every Python of ours finds itself
    environment = {**os.environ, "PYTHONSAFEPATH": "1", **more}
    environment.pop("PYTHONPATH", None)
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
