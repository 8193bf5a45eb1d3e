"""The document against the service: what schemathesis makes of it gets no 5xx, and only answers that it declares."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from lanes import bounded
from waiting import HANG_S

from tidewire.redislog.log import RedisLog
from tidewire_service.auth.scopes import Scopes
from tidewire_service.auth.tokens import TokenStore

# A stream never ends: tests/service/test_stream_route.py and tests/client/test_sse.py hold it to its contract.
# A document cannot say all that a name may be, so that what it allows may still be refused with 422; and Litestar's
# answer to OPTIONS names the methods of one handler, where there are several.
_CONFIG = """\
[checks.positive_data_acceptance]
enabled = false
[checks.allow_header_conformance]
enabled = false
"""


@pytest.mark.parametrize("auth", [False, True], ids=["open", "auth"])
@pytest.mark.long
async def test_what_the_document_allows_and_forbids_is_answered_as_it_says(
    start: Any, tmp_path: Path, auth: bool
) -> None:
    service = await start(auth=auth)
    headers = []
    if auth:
        log = RedisLog(service.service.settings.redis)
        scopes = Scopes(publish=("**",), subscribe=("**",), edit=True, operate=True)
        _, token = await TokenStore(log).create("all", scopes, 600)
        await log.close()
        headers = ["--header", f"Authorization: Bearer {token}"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG)
    options = [
        "--exclude-path",
        "/v1/stream",
        "--max-examples",
        f"{bounded(10, 200)}",
        "--phases",
        "examples,coverage,fuzzing",
        "--seed",
        "6",
        "--request-timeout",
        f"{HANG_S:g}",
    ]
    address = f"{service.url}/schema/openapi.json"
    running = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run", address, *options, *headers,
        "--no-color", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
    )  # fmt: skip
    said = (await running.communicate())[0].decode()
    assert running.returncode == 0, said
    assert "Tested: 14" in said
    assert "\n❌" not in said
    print(said[said.index("SUMMARY") :])
