"""The golden view frames: what Python packs today is what both sides agreed on."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

_path = Path(__file__).with_name("make_vectors.py")
_spec = importlib.util.spec_from_file_location("make_vectors", _path)
assert _spec is not None
assert _spec.loader is not None
make_vectors = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_vectors)


@pytest.mark.parametrize("name", sorted(path.stem for path in make_vectors.VECTORS.glob("*.bin")))
def test_a_vector_is_packed_as_it_was_agreed(name: str) -> None:
    agreed = make_vectors.VECTORS / f"{name}.bin"
    assert make_vectors.frames()[name] == agreed.read_bytes()
    assert make_vectors.meaning(agreed.read_bytes()) == json.loads(agreed.with_suffix(".json").read_text())


def test_every_kind_of_frame_has_a_vector() -> None:
    kinds = {path.read_bytes()[1] for path in make_vectors.VECTORS.glob("*.bin")}
    assert kinds == {1, 2, 4}
