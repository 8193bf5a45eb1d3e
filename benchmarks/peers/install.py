"""Installs the peers for the benchmarks only, under benchmarks/out/peers: `python benchmarks/peers/install.py`.

Nothing of the system is changed but one empty folder that nginx insists on (/var/lib/nginx): Debian's nginx and its
nchan module are unpacked, not installed; the Python peers get a virtual environment of their own, Node's client a
folder. Whatever cannot be had is said, and is missing in the results.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parents[1] / "out" / "peers"
PYTHON_PACKAGES = (
    "litestar>=2.25",
    "sse-starlette>=2.1",
    "redis>=6.4",
    "hiredis>=3.2",
    "uvicorn>=0.35",
    "uvloop>=0.21",
    "httptools>=0.6.4",
    "trackio>=0.43",
)
DEBIAN_PACKAGES = ("nginx", "libnginx-mod-nchan")


def run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True)


def nchan() -> None:
    target = HERE / "nginx"
    target.mkdir(parents=True, exist_ok=True)
    run("apt-get", "download", *DEBIAN_PACKAGES, cwd=target)
    for package in target.glob("*.deb"):
        run("dpkg-deb", "-x", str(package), ".", cwd=target)
    Path("/var/lib/nginx").mkdir(exist_ok=True)


def node() -> None:
    if shutil.which("node") is None:
        raise FileNotFoundError("node")
    target = HERE / "node"
    target.mkdir(parents=True, exist_ok=True)
    run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(target), "ioredis", cwd=target)


def python() -> None:
    target = HERE / "venv"
    venv.create(target, with_pip=True)
    run(str(target / "bin" / "pip"), "install", "-q", *PYTHON_PACKAGES, cwd=HERE)


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    failed = False
    for folder, install in (("nginx", nchan), ("node", node), ("venv", python)):
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as error:
            failed = True
            print(f"{install.__name__}: could not be installed, the benchmarks will say that it is missing ({error})")
        else:
            print(f"{install.__name__}: installed under {HERE / folder}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
