"""A folder for what is half written: one process holds it, and what one that was killed has left there is removed."""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hiclr.errors import InputError

__all__ = ["Scratch", "half_made"]

_WAIT = 30.0  # seconds: readers of a process that was killed end by themselves
_FORMAT = "hiclr spool 2"
_LONGEST = 255  # bytes of a file's name, on nearly every system
_KEPT = 40  # characters of one that is too long, at most 160 bytes


def half_made(target: Path, hidden: bool = False) -> Path:
    """Where a target is half written, beside it; one name for each target, also where its own is as long as may be."""
    name = f"{'.' if hidden else ''}{target.name}.partial"
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{name[:_KEPT]}-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.partial"
    return target.with_name(name)


class Scratch:
    """A folder for what is half written, held by one process; what one that was killed has left there is gone.

    Args:
        folder: made when it is not there.
        fingerprint: of the source and the settings; segments of others are removed.
        wait: seconds for another process to leave it; the usual time when left out.

    Raises:
        InputError: something else lies in the folder, or another process is at it.
    """

    def __init__(self, folder: Path, fingerprint: str = "", wait: float | None = None) -> None:
        self.folder, self.discarded = folder, False
        self._check_ours()
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / "lock", thread_local=False)
            try:
                self._lock.acquire(timeout=_WAIT if wait is None else wait)
                self._begin(fingerprint)
            except Timeout:
                raise InputError(f"{folder} is being written by another process. Wait for it, or end it.") from None
            except FileNotFoundError:  # who had it before has just taken it away
                self._lock.release()
            except BaseException:
                self._lock.release()
                raise
            else:
                return

    def _check_ours(self) -> None:
        """Nobody's files are taken for a spool."""
        if not self.folder.exists() or (self.folder / "about.json").is_file():
            return
        if {path.name for path in self.folder.iterdir()} - {"lock", "about.new"}:
            raise InputError(f"{self.folder} is in the way and no spool of this program. Move it, or write elsewhere.")

    def _begin(self, fingerprint: str) -> None:
        about, wanted = self.folder / "about.json", {"format": _FORMAT, "fingerprint": fingerprint}
        try:
            there = json.loads(about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            there = None
        for path in self.folder.iterdir():
            if path.name not in ("lock", "about.json", "old") and (there != wanted or path.suffix != ".segment"):
                self.discarded |= path.suffix == ".segment"
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if there != wanted:  # last: until here the folder is what it says
            new = self.folder / "about.new"
            new.write_text(json.dumps(wanted), encoding="utf-8")
            new.replace(about)

    def close(self, *, remove: bool) -> None:
        """Let others at it; with all that lies in it gone where it is not needed any more."""
        if remove:
            for path in [path for path in self.folder.iterdir() if path.name != "lock"]:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self._lock.release()
        if remove:
            with suppress(OSError):  # another process is at it by now
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()
