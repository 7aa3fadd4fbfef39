"""The static files of the pages: where they lie, who may load them, their addresses."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path

#: Folders of `static/` that a payer's phone needs; counter and back office need the others.
OPEN_FOLDERS = ("shared", "payer")

# Debian's mime.types may be missing on a slim machine; a browser refuses a script without its type.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/css", ".css")
mimetypes.add_type("image/svg+xml", ".svg")


def static_folder() -> Path:
    """The folder of styles, scripts and icons, in a wheel and in an editable install alike.

    FileNotFoundError names the two places where it was looked for.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = (package / "static", package.parent / "static")
    for candidate in candidates:
        if (candidate / "shared").is_dir():
            return candidate
    looked = " or ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"static: expected the folder of styles and scripts at {looked}")


def is_open(path: str) -> bool:
    """Whether the static file `path` belongs to the payer's pages, which anyone may load."""
    parts = path.replace("\\", "/").split("/")
    return parts[0] in OPEN_FOLDERS and ".." not in parts


def address(name: str) -> str:
    """The address of a static file; it changes with the content, so browsers may cache it."""
    file = static_folder() / name
    return f"/static/{name}?v={_version(file, file.stat().st_mtime_ns)}"


@lru_cache(maxsize=64)
def _version(file: Path, _modified_ns: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:10]
