"""Print a bill of materials, CycloneDX 1.6: what the wheel bundles, or all that is installed with it.

``python .ci/sbom.py > docs/bundled.cdx.json`` after a change of the files that others made; it goes into the wheel (PEP
770). ``python .ci/sbom.py installed``, run by the interpreter of an environment with ``tidewire[all]``, is the whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# What others made: name, version, licence, package URL, files in this repository.
BUNDLED = (
    (
        "swagger-ui-dist", "5.35.0", "Apache-2.0", "pkg:npm/swagger-ui-dist@5.35.0",
        ["swagger-ui-bundle.js", "swagger-ui.css"], "service/tidewire_service/static/swagger",
    ),
    (
        "@fontsource-variable/inter", "5.3.0", "OFL-1.1", "pkg:npm/%40fontsource-variable/inter@5.3.0",
        ["inter-latin.woff2", "inter-latin-ext.woff2"], "dashboard/tidewire_dashboard/static",
    ),
)  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9._-]+")
EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def bundled() -> list[dict[str, Any]]:
    """Return the components that are files of the wheel, each file with its digest."""
    found = []
    for name, version, licence, purl, files, folder in BUNDLED:
        parts = [
            {
                "type": "file",
                "name": f"{Path(folder).relative_to(Path(folder).parts[0])}/{file}",
                "hashes": [
                    {"alg": "SHA-256", "content": hashlib.sha256((ROOT / folder / file).read_bytes()).hexdigest()}
                ],
            }
            for file in files
        ]
        found.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "licenses": [{"license": {"id": licence}}],
                "components": parts,
            }
        )
    return found


def licences(dist: Distribution) -> list[dict[str, Any]]:
    """Return what a distribution says about its licence, shortest word first to last resort."""
    meta = dist.metadata
    if expression := meta.get("License-Expression"):
        return [{"expression": expression}]
    classified = [
        text.rpartition(" :: ")[2] for text in meta.get_all("Classifier", []) if text.startswith("License ::")
    ]
    said = meta.get("License", "")
    names = classified or ([said] if 0 < len(said) < 60 and "\n" not in said else [])
    return [{"license": {"name": name}} for name in names]


def purl(dist: Distribution) -> str:
    """Return the package URL of a distribution."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', dist.name).lower()}@{dist.version}"


def requirements(dist: Distribution, extras: set[str]) -> list[tuple[str, set[str]]]:
    """Return the names and extras of what a distribution requires, where it is installed."""
    found = []
    for text in dist.requires or []:
        asked = EXTRA.search(text)
        if asked and asked[1] not in extras:
            continue
        name = NAME.match(text)
        assert name is not None, text
        more = re.match(r"\[([^\]]*)\]", text[name.end() :])
        found.append((name[0], set(more[1].replace(" ", "").split(",")) if more else set()))
    return found


def installed() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the components of `tidewire[all]` in this environment, and what depends on what."""
    components: dict[str, dict[str, Any]] = {}
    depends: dict[str, set[str]] = {}
    waiting: list[tuple[str, set[str]]] = [("tidewire", {"all", "notebook", "service", "dashboard"})]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue  # wanted only on another system, or by another Python
        key = (purl(dist), frozenset(extras))
        if key in seen:
            continue
        seen.add(key)
        if dist.name != "tidewire":
            components[purl(dist)] = {
                "type": "library", "bom-ref": purl(dist), "name": dist.name, "version": dist.version,
                "purl": purl(dist), "licenses": licences(dist),
            }  # fmt: skip
        for required, more in requirements(dist, extras):
            try:
                depends.setdefault(purl(dist), set()).add(purl(distribution(required)))
            except PackageNotFoundError:
                continue
            waiting.append((required, more))
    edges = [{"ref": ref, "dependsOn": sorted(on - {ref})} for ref, on in sorted(depends.items())]
    return [components[ref] for ref in sorted(components)], edges


def document(*, whole: bool) -> dict[str, Any]:
    """Return the bill of materials."""
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "client/tidewire/_version.py").read_text(encoding="utf-8"))
    assert version is not None
    ref = f"pkg:pypi/tidewire@{version[1]}"
    own = {
        "type": "application", "bom-ref": ref, "name": "tidewire", "version": version[1], "purl": ref,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }  # fmt: skip
    components, edges = bundled(), [{"ref": ref, "dependsOn": [part["bom-ref"] for part in bundled()]}]
    if whole:
        more, links = installed()
        mine = next(link for link in links if link["ref"] == ref)
        edges[0]["dependsOn"] = sorted({*edges[0]["dependsOn"], *mine["dependsOn"]})  # type: ignore[misc]
        components += more
        edges += [link for link in links if link is not mine]
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": own},
        "components": components, "dependencies": edges,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(document(whole="installed" in sys.argv[1:]), indent=1))
