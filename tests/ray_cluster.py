"""A real Ray cluster on this machine, bound to 127.0.0.1, for one test module or benchmark; ended with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Without the second, which despite its name counts on Linux too, Ray listens on every address. The last two: on a machine that
# is busy, a node gives up on its own agent and is itself given up for dead.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_DEDUP_LOGS": "0",
    "RAY_agent_register_timeout_ms": "600000", "RAY_health_check_timeout_ms": "120000",
}  # fmt: skip
FIXED = ("dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port")
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@dataclass(frozen=True)
class Cluster:
    """address: of the dashboard, which takes jobs. folder: named by the command line of each of its processes."""

    address: str
    folder: str

    def listeners(self) -> set[str]:
        """Addresses that any of its processes listens on, in the kernel's hexadecimal."""
        inodes = set()
        for pid in processes_of(self.folder):
            for file in Path(f"/proc/{pid}/fd").glob("*"):
                with contextlib.suppress(OSError):
                    inodes.add(str(file.readlink()).removeprefix("socket:[").rstrip("]"))
        tables = [Path(f"/proc/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6")]
        lines = [line.split() for table in tables for line in table]
        return {words[1].split(":")[0] for words in lines if words[3] == "0A" and words[9] in inodes}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below the range that the system gives out by itself."""
    found = []
    for port in range(21000, 30000, 7):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def processes_of(folder: str) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if folder.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


@contextlib.contextmanager
def cluster(environment: Mapping[str, str] | None = None, cpus: int = 2) -> Iterator[Cluster]:
    """A cluster of one node whose processes, and so all jobs, have this environment beside the caller's."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # Ray's sockets allow for no long path
    gcs, dashboard, client, agent, *fixed = free_ports(8)
    line = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--num-cpus={cpus}", "--disable-usage-stats",
        "--node-ip-address=127.0.0.1", f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}", "--min-worker-port=30002",
        "--max-worker-port=30200", "--object-store-memory=100000000", f"--temp-dir={folder}",
        # A node waits half a minute for the ports that its agents choose for themselves, and on a busy machine gives up.
        *(f"--{name}={port}" for name, port in zip(FIXED, fixed, strict=False)),
    ]  # fmt: skip
    try:
        started = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **QUIET, **(environment or {})}
        )  # fmt: skip
        assert started.returncode == 0, started.stdout + started.stderr
        wait_for(dashboard)
        yield Cluster(f"http://127.0.0.1:{dashboard}", folder)
    finally:
        # not `ray stop`, which would end every cluster of this machine
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for pid in processes_of(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
            time.sleep(2)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, limit_s: float = 180.0) -> None:
    """Until something answers on the port. Raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.5)
    raise TimeoutError("Ray did not start")
