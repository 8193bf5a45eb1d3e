"""Print constraints.txt: the versions, in this interpreter's environment, of all that `.[dev]` pulls in.

Run it in an environment whose tests have passed: ``.venv/bin/python .ci/constraints.py > constraints.txt``.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The exact versions that were tested together, on Python {python}. The README's commands install with them;
# pyproject.toml has the floors. They install on Python 3.11, 3.12 and 3.13; on another Python leave `-c` out.
# Made by .ci/constraints.py in an environment whose tests had passed; of all that `.[dev]` pulls in.
"""


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Return name → version of what a distribution requires here, with these extras, all the way down."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue  # wanted only where a marker holds that does not hold here
        if canonicalize_name(name) != "tidewire":
            found[canonicalize_name(name)] = dist.version
        for text in dist.requires or ():
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate({"extra": extra}):
                waiting += [(required.name, each) for each in ("", *required.extras)]
    return found


def constraints() -> str:
    """Return the text of constraints.txt."""
    pins = sorted(closure("tidewire", frozenset({"dev"})).items())
    header = HEADER.format(python=".".join(platform.python_version_tuple()[:2]))
    return header + "".join(f"{name}=={version}\n" for name, version in pins)


if __name__ == "__main__":
    print(constraints(), end="")
