"""Programs that try to break out of the sandbox. proof.py sends this file in as a solution and calls one function each.

A function gets facts about the host and returns CONTAINED, or what it got hold of. Standard library only. Nothing here
may run on a host, so the file refuses to be imported.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

if __name__ != "solution":
    raise ImportError("resources/hostile.py runs inside the sandbox only")

CONTAINED = "contained"
Host = Mapping[str, Any]


def endless_loop(host: Host) -> str:
    """Burn the processor."""
    while True:
        pass


def long_sleep(host: Host) -> str:
    """Wait for good."""
    time.sleep(3600)
    return "slept an hour"


def four_gigabytes(host: Host) -> str:
    """Take memory."""
    try:
        return f"got {len(bytearray(4 << 30))} bytes"
    except MemoryError:
        return CONTAINED


def network(host: Host) -> str:
    """Reach another machine, or find an interface that could."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    with socket.socket() as client:
        client.settimeout(0.5)
        answer = client.connect_ex(("192.0.2.1", 80))
    return CONTAINED if answer == errno.ENETUNREACH and not names else f"errno {answer}, interfaces {names}"


def loopback(host: Host) -> str:
    """Reach a server of the host's on 127.0.0.1, or one with an abstract name."""
    for family, address in ((socket.AF_INET, ("127.0.0.1", host["port"])), (socket.AF_UNIX, f"\0{host['token']}")):
        with socket.socket(family) as client:
            client.settimeout(0.5)
            if client.connect_ex(address) == 0:
                return f"connected to {address!r}"
    return CONTAINED


def early_exit(host: Host) -> str:
    """Leave as if all were well."""
    sys.exit(0)


def hard_exit(host: Host) -> str:
    """Leave without a goodbye."""
    os._exit(0)


def fork_bomb(host: Host) -> str:
    """Multiply."""
    for _ in range(200):
        try:
            child = os.fork()
        except OSError:
            return CONTAINED
        while child == 0:
            with suppress(OSError):
                os.fork()
    return "200 children"


def big_file(host: Host) -> str:
    """Fill the disk: one large file, and many."""
    written = 0
    for number in range(64):
        with suppress(OSError), open(f"/room/{number}", "wb", buffering=0) as file:
            for _ in range(64):
                written += file.write(bytes(1 << 20))
    return CONTAINED if written <= 16 << 20 else f"wrote {written} bytes"


def environment(host: Host) -> str:
    """Read the host's environment."""
    known = {"LANG", "HOME", "TMPDIR", "PYTHONHASHSEED", "LC_CTYPE"}
    return CONTAINED if set(os.environ) <= known else f"read {sorted(set(os.environ) - known)}"


def daemon(host: Host) -> str:
    """Leave a process behind, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(5):
                os.close(number)
            time.sleep(3600)
        os._exit(0)
    return CONTAINED


def write_outside(host: Host) -> str:
    """Write where the host's files are, or over the interpreter's."""
    places = [host["folder"], host["project"], host["home"], "/", "/usr/lib", "/tmp", os.path.dirname(os.__file__)]
    for path in [*(f"{place}/{host['token']}" for place in places), "/cell.py", os.__file__, sys.executable]:
        with suppress(OSError), open(path, "ab") as file:
            file.write(b"x")
            return f"wrote {path}"
    return CONTAINED


def read_outside(host: Host) -> str:
    """Read a file of the host's that anyone there may read."""
    for path in (
        host["secret"],
        host["project"],
        "/etc/hostname",
        "/etc/passwd",
        "/proc/self",
        "/sys/kernel",
        "/dev/null",
        "/run",
    ):
        if os.path.exists(path):
            return f"found {path}"
    return CONTAINED


def open_files(host: Host) -> str:
    """Look for files of the host's that were left open: a folder among them would be a way out."""
    found = []
    for number in range(256):
        with suppress(OSError):
            found.append((number, os.fstat(number).st_mode))
    folders = [number for number, mode in found if mode & 0o170000 == 0o040000]
    return CONTAINED if [number for number, _ in found] == [0, 1, 2, 3, 4] and not folders else f"open: {found}"


def kill_everything(host: Host) -> str:
    """Kill the host's process, its neighbour, process 1 and whatever else there is."""
    for number in (host["pid"], host["neighbour"], 1):
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
    os.kill(-1, signal.SIGKILL)
    return "killed and unharmed"


def stop_the_judge(host: Host) -> str:
    """Stop the process that judges."""
    os.kill(2, signal.SIGSTOP)
    return CONTAINED


def interrupt_others(host: Host) -> str:
    """Interrupt process 1 and the judge, by every signal that may have a handler."""
    for number in (1, 2):
        for which in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGALRM):
            with suppress(OSError):
                os.kill(number, which)
    time.sleep(0.2)
    return CONTAINED


def trace_others(host: Host) -> str:
    """Read the memory of processes with more rights, by four ways."""
    library = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(64)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(held), 64)
    for number in (1, 2, os.getppid()):
        tries = [library.ptrace(16, number, 0, 0), library.ptrace(0x4206, number, 0, 0)]
        tries.append(library.process_vm_readv(number, vector, 1, vector, 1, 0))
        if any(answer >= 0 for answer in tries) or os.path.exists(f"/proc/{number}/mem"):
            return f"traced process {number}"
    return CONTAINED


def leftovers(host: Host) -> str:
    """Leave files where others may find them."""
    for place in ("/dev/shm", "/tmp", "/var/tmp", "/room", host["temporary"]):
        with suppress(OSError), open(f"{place}/{host['token']}", "wb") as file:
            file.write(b"x")
    return CONTAINED


def symlinks(host: Host) -> str:
    """Go out through links, parents and a root of its own."""
    os.symlink(host["folder"], "/room/link")
    with suppress(OSError):
        os.link("/cell.py", "/room/hard")
        return "a hard link to a file outside"
    with suppress(OSError):
        os.chroot("/room")
        return "a root of its own"
    for path in ("/room/link/secret", f"/room/{'../' * 12}{host['secret']}"):
        if os.path.exists(path):
            return f"found {path}"
    with suppress(OSError), open("/room/link/new", "wb"):
        return "wrote through a link"
    return CONTAINED


def output_flood(host: Host) -> str:
    """Write 200 MB to the output and to the errors."""
    block = bytes(1 << 20)
    for number in range(200):
        os.write(1 + number % 2, block)
    return CONTAINED


def channel_flood(host: Host) -> str:
    """Drown the pipe that answers go through."""
    while True:
        os.write(4, b"x" * 65536)


def forged_verdict(host: Host) -> str:
    """Say "passed" to whoever may be listening."""
    for number in range(64):
        with suppress(OSError):
            os.write(number, b'{"outcome": "passed", "why": ""}\n')
    os._exit(0)


def always_equal(host: Host) -> Any:
    """Return what equals everything."""

    class Yes:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    return Yes()


def find_the_tests(host: Host) -> str:
    """Look for the tests in the memory of its own process."""
    frame = sys._getframe()
    texts = [value for known in gc.get_objects() if isinstance(known, dict) for value in list(known.values())]
    while frame is not None:
        texts += frame.f_locals.values()
        frame = frame.f_back  # type: ignore[assignment]
    needle = "def check" + "(candidate)"
    return "read the tests" if any(isinstance(text, str) and needle in text for text in texts) else CONTAINED


def gain_rights(host: Host) -> str:
    """Become root, mount, make a device, enter a namespace of its own."""
    library = ctypes.CDLL(None, use_errno=True)
    new_user = 0x10000000
    tries: dict[str, Callable[[], Any]] = {
        "setuid": lambda: os.setuid(0), "setgid": lambda: os.setgid(0), "setgroups": lambda: os.setgroups([0]),
        "hostname": lambda: socket.sethostname("mine"), "device": lambda: os.mknod("/room/device", 0o20666, 259),
    }  # fmt: skip
    for name, attempt in tries.items():
        with suppress(OSError):
            attempt()
            return f"{name} was allowed"
    if library.unshare(new_user) == 0 or library.mount(b"none", b"/room", b"tmpfs", 0, None) == 0:
        return "a namespace or a mount of its own"
    if library.mount(b"none", b"/", None, 32 | 4096, None) == 0:
        return "a root that can be written"
    return CONTAINED


def raise_limits(host: Host) -> str:
    """Lift the limits."""
    for which in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
        with suppress(OSError, ValueError):
            resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return f"lifted limit {which}"
    return CONTAINED


def kernel_memory(host: Host) -> str:
    """Take memory that no limit of a process counts, and keys of the session."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.shmget(0, 1 << 30, 0o1600) >= 0:
        return "shared memory"
    with suppress(OSError):
        os.memfd_create("mine")
        return "a file in memory"
    number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
    return "the session's keys" if library.syscall(number, 0, -3, 0) >= 0 else CONTAINED


def crash(host: Host) -> str:
    """Bring the interpreter down."""
    ctypes.string_at(0)
    return "still here"
