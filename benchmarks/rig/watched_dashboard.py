"""A dashboard that tells what it holds: `watched_dashboard.py SERVICE_URL`; each line of standard input is answered.

It prints its address, then for each line one JSON object: tasks, threads, descriptors, memory (USS, bytes), viewers.
Its store is small: full in the first quarter of a soak, so that what grows later is no reading.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import psutil

from tidewire_dashboard.app import running_dashboard
from tidewire_dashboard.settings import DashboardSettings

STORE = 16 << 20


async def main() -> None:
    process = psutil.Process()
    async with running_dashboard(DashboardSettings(url=sys.argv[1], dashboard_port=0, store_bytes=STORE)) as dashboard:
        print(json.dumps({"url": dashboard.url}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            gc.collect()
            found = {
                "tasks": len(asyncio.all_tasks()),
                "threads": process.num_threads(),
                "descriptors": process.num_fds(),
                "memory": process.memory_full_info().uss,
                "viewers": len(dashboard.hub.shared.viewers),
            }
            print(json.dumps(found), flush=True)


asyncio.run(main())
