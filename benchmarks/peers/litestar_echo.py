"""A Litestar handler that returns the size of the body it was sent, and does nothing else: PORT REDIS_PORT."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from litestar import Litestar, Request, post


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"bytes": len(await request.body())}


if __name__ == "__main__":
    uvicorn.run(
        Litestar([echo], openapi_config=None),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        log_level="error",
        loop="uvloop",
        http="httptools",
    )
