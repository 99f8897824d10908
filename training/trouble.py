"""What a machine runs out of, recognised under whatever class a library raises it, and one training to a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from training import fence, processes
from twainbot.errors import BadUse, TwainBotError

_NO_MEMORY = (
    "out of memory", "cublas_status_alloc_failed",  # CUDA
    "can't allocate memory", "cannot allocate memory",  # torch on a CPU, the system
)  # fmt: skip
_HELD = (errno.EWOULDBLOCK, errno.EACCES)  # a file system without locks answers something else
_NO_SPACE = ("no space left on device", "pytorchstreamwriter failed writing file")  # safetensors and torch.save say so


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the GPU or of the machine."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def disk_full(error: BaseException) -> bool:
    """Whether a file could not be written for want of space."""
    code = error.errno if isinstance(error, OSError) else None
    return code in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error).lower() for words in _NO_SPACE)


def guarded(main: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A stage's `main` alone in its out folder, whose want of memory or disk is said in one sentence with the repair.

    It publishes under the token that it was given, or orders one of its own.
    """

    @functools.wraps(main)
    def run(arguments: Any, report: Callable[[str], None]) -> dict[str, Any]:
        processes.join()
        with alone(arguments.out), _ordered(arguments):
            try:
                return main(arguments, report)
            except TwainBotError:
                raise
            except Exception as error:
                sentence = _sentence(error, arguments.out)
                if sentence is None:
                    raise
                raise TwainBotError(sentence) from error

    return run


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder against a second training, which would remove this one's checkpoints; BadUse where one is on.

    The system lets go with the process, however it ends; a stopped one still holds it. Of several processes on several
    GPUs the first one holds it. A file system without locks, or another machine, leaves it to the fence.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not processes.first():
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                by = fence.ordered_by(out)
                raise BadUse(
                    f"Another training is on in {out}. Wait for it or end it{f' ({by})' if by else ''}; "
                    "a training of its own needs another --out."
                ) from error
        yield
    finally:
        os.close(handle)


def _ordered(arguments: Any) -> contextlib.AbstractContextManager[None]:
    """Only the process that writes is fenced: the others end with it."""
    return fence.held(arguments.out, arguments.token) if processes.first() else contextlib.nullcontext()


def _sentence(error: BaseException, out: Path) -> str | None:
    if out_of_memory(error):
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return (
            f"Memory ran out: {said}. {_kept(out)} Lower micro_batch or sequence_length, set "
            "gradient_checkpointing: true or quantization: nf4 in the recipe, or take a larger machine."
        )
    if disk_full(error):
        return (
            f"No space is left for what training saves in {out}. {_kept(out)} "
            "Free some, or point TWAINBOT_HOME (--out) to another disk, and run again."
        )
    return None


def _kept(out: Path) -> str:
    """What a rerun goes on from."""
    from training.watch import last_sealed  # with it comes transformers, seconds of it

    folders = sorted((out / "checkpoints").glob("*")) if (out / "checkpoints").is_dir() else []
    sealed = [found for folder in folders if (found := last_sealed(folder))]
    return f"Last good checkpoint: {sealed[-1].name if sealed else 'none yet'}."
