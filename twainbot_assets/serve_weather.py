"""`twainbot serve-weather`: the weather tools for any MCP client. The server itself is resources/weather_server.py."""

from __future__ import annotations

import sys
from datetime import datetime

import click


@click.command("serve-weather", epilog="Example: twainbot serve-weather --backend mock --http 127.0.0.1:8765")
@click.option("--backend", type=click.Choice(["nws", "archive", "mock"]), default="nws", show_default=True)
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Streamable HTTP on loopback, under /mcp; port 0 takes any free one. Default: stdio.",
)
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="The day that mock and archive take for today.")
@click.option("--profile", help="tiny, sample, laptop, full, or a file. Default: TWAINBOT_PROFILE, else sample.")
def serve_weather(backend: str, http: str | None, today: datetime | None, profile: str | None) -> None:
    """Serve get_forecast, get_alerts and get_observation over the Model Context Protocol."""
    import asyncio

    from resources.home import current
    from resources.weather_server import run_http, run_stdio
    from resources.weather_tools import open_backend

    opened = open_backend(backend, current(profile), today=today.date() if today else None)
    if http is None:
        asyncio.run(run_stdio(opened))
    else:
        run_http(opened, http, lambda line: print(line, file=sys.stderr, flush=True))
