"""What the tests of faults share: a set, a finished run on it, small disks, a folder that any user may enter."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .processes import NOBODY
from .tiny import CONFIG, clips, split, train


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs that nothing happened to."""
    return train(tmp_path_factory.mktemp("whole") / "run", CONFIG).path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips with a test part, as a file."""
    return split(clips(), tmp_path_factory.mktemp("data") / "set.npz")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes disks of a size ("1m") in memory."""
    mounted: list[Path] = []

    def make(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"no mount here: {error}")
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here (it takes root): {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder that every user may enter and write, which those of pytest are not."""
    place = Path(tempfile.mkdtemp(prefix="hiclr-faults-"))
    place.chmod(0o777)
    yield place
    for folder, _, _ in os.walk(place):
        Path(folder).chmod(0o777)
    shutil.rmtree(place)


@pytest.fixture
def ordinary_user() -> int | None:
    """The id of a user whom modes of files bind: root's process becomes nobody, anyone else's is one already."""
    return NOBODY if os.getuid() == 0 else None
