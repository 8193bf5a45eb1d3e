"""Take the pictures of from-where-you-are.md: a machine that Glances watches, and a Litestar app by OpenTelemetry.

    .venv/bin/python docs/observed.py [--out docs/screenshots]

Both are as their own documentation has them; nothing in them knows of Tidewire but an address. The app runs in this
process, and is asked some hundred times.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

from litestar import Litestar, get
from litestar.exceptions import ServiceUnavailableException
from litestar.params import FromPath
from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
from litestar.testing import AsyncTestClient
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from playwright.sync_api import sync_playwright
from screenshots import FLAGS, Picture, answers, drawn, staged, take

WATCHED_S = 150.0
MACHINE = (
    "/d/machine?w=2m&c=cpu/user,cpu/system,cpu/iowait:6x5&c=mem/percent:6x5;k=gauge&c=load/min1,load/min5:4x5"
    "&c=network/bytes_recv_rate_per_sec:4x5&c=processcount/total,processcount/running:4x5&c=percpu/total:6x5&c=fs/percent:6x5"
)
APP = (
    "/d/app?w=2m&c=http.server.duration/p50,http.server.duration/p95,http.server.duration/p99:6x5"
    "&c==sum(rate(http.server.duration/count[10s]))+by+(http.status_code):6x5&c=http.server.active_requests:4x5"
    "&c=process.memory.usage:4x5&c=process.cpu.utilization:4x5"
)


@get("/orders/{number:int}")
async def order(number: FromPath[int]) -> dict[str, int]:
    """Answer an order, after a while; one of fifty is refused."""
    await asyncio.sleep(random.lognormvariate(-4, 0.7))
    if random.random() < 0.02:
        raise ServiceUnavailableException("the warehouse is away")
    return {"number": number}


async def ask(service: str, done: threading.Event) -> None:
    """Run an app with its instrumentation and that of its process, and ask it until that is enough."""
    exporter = OTLPMetricExporter(endpoint=f"{service}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=2_000)
    meters = MeterProvider([reader], resource=Resource.create({"service.name": "orders", "service.instance.id": "a"}))
    SystemMetricsInstrumentor().instrument(meter_provider=meters)
    plugin = OpenTelemetryPlugin(OpenTelemetryConfig(meter_provider=meters))
    app = Litestar([order], plugins=[plugin], logging_config=None)
    async with AsyncTestClient(app) as client:

        async def visitor() -> None:
            while not done.is_set():
                await client.get(f"/orders/{random.randrange(1_000)}")
                await asyncio.sleep(random.expovariate(4))

        await asyncio.gather(*(visitor() for _ in range(6)))
    meters.shutdown()


def main() -> None:
    """Let both run for a while, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    given = parser.parse_args()
    with staged() as stage, tempfile.TemporaryDirectory() as folder:
        stage.serve()
        stage.run("-m", "tidewire", "dashboard", "--port", str(stage.dashboard_port))
        answers(stage.dashboard)
        config = Path(folder) / "glances.conf"
        where = ("host=127.0.0.1", f"port={stage.service_port}", "protocol=http", "user=glances", "password=none")
        config.write_text("\n".join(("[influxdb2]", *where, "org=o", "bucket=b", "token=TOKEN")), encoding="utf-8")
        stage.run("-m", "glances", "--export", "influxdb2", "-C", str(config), "-t", "1", "--quiet")
        done = threading.Event()
        asking = threading.Thread(target=lambda: asyncio.run(ask(stage.service, done)))
        asking.start()
        try:
            time.sleep(WATCHED_S)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                for name, path in (("from-glances", MACHINE), ("from-otel", APP)):
                    take(browser, stage, Picture(name, path, prepare=drawn, themes=("dark",)), given.out)
                browser.close()
        finally:
            done.set()
            asking.join()


if __name__ == "__main__":
    main()
