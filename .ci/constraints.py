"""Print constraints.txt: the versions, in this interpreter's environment, of all that `.[dev]` pulls in.

Run it in an environment whose tests have passed: ``.venv/bin/python .ci/constraints.py > constraints.txt``.
"""

from __future__ import annotations

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The exact versions that were tested together, on Python {python}. The README's commands install with them;
# pyproject.toml has the floors. They install on Python 3.11, 3.12 and 3.13; on another Python leave `-c` out.
# Made by .ci/constraints.py in an environment whose tests had passed; of all that `.[dev]` pulls in.
"""


def closure(project: dict[str, Any], extra: str) -> dict[str, str]:
    """Return name → version, in this environment, of what a project with an extra requires, all the way down."""
    extras: dict[str, list[str]] = project["optional-dependencies"]
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(project["name"], ""), (project["name"], extra)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        if name == project["name"]:
            required = extras[extra] if extra else project["dependencies"]
        else:
            try:
                dist = distribution(name)
            except PackageNotFoundError:
                continue  # wanted only where a marker holds that does not hold here
            found[canonicalize_name(name)] = dist.version
            required = dist.requires or []
        for requirement in map(Requirement, required):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, each) for each in ("", *requirement.extras)]
    return found


def constraints() -> str:
    """Return the text of constraints.txt."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = sorted(closure(project, "dev").items())
    header = HEADER.format(python=".".join(platform.python_version_tuple()[:2]))
    return header + "".join(f"{name}=={version}\n" for name, version in pins)


if __name__ == "__main__":
    print(constraints(), end="")
