"""A real PostgreSQL server for one test module: on 127.0.0.1, in a folder of its own, ended with it. Benchmarks use it too."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD, DATABASE = "twainbot", "rainy-day", "twainbot"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; Debian keeps them off the path."""
    found = [Path(where).resolve().parent for where in [shutil.which("initdb")] if where]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "pg_ctl").exists() and (folder / "initdb").exists()), None)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database. PostgreSQL refuses root, whose servers run as user `nobody`."""
    where = programs()
    assert where is not None, "no initdb: install Debian's postgresql"
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # its socket allows for no long path
    as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if getpass.getuser() == "root" else []
    if as_user:
        shutil.chown(folder, "nobody", "nogroup")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data, port = folder / "data", free_port()

    def call(*words: str) -> None:
        done = subprocess.run([*as_user, *words], capture_output=True, text=True, cwd=folder, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        call(str(where / "initdb"), "-D", str(data), "-U", USER, "--auth=scram-sha-256", "--no-sync",
             f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--locale=C")  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        call(
            str(where / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "-t", "240", "start"
        )
        try:
            subprocess.run(
                [str(where / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE],
                env={**os.environ, "PGPASSWORD": PASSWORD}, check=True, timeout=120,
            )  # fmt: skip
            yield f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"
        finally:
            call(str(where / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
