"""NTU RGB+D 120 at its number of files, made up: converted, killed half way, gone on with, and compared.

`python -m benchmarks.simulate_ntu120 [--files 114480] [--frames 8] [--longest 300]`: prints what it measures and
writes benchmarks/results/simulate_ntu120.json.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.skeletons import NTU120, write_files
from hiclr.datasets.spool import cores
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results"
CAP_MB = 2048


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        started = [
            int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [pid, *(one for child in started for one in family(child))]


def resident(pid: int) -> tuple[float, float]:
    """(MB of a process, MB of it and all that it started; pages that several share are counted once)."""
    own, shared = 0.0, 0.0
    for one in family(pid):
        try:
            rows = [line.split() for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]]
        except OSError:
            continue
        sizes = {row[0]: int(row[1]) / 1024 for row in rows}
        own = sizes.get("Rss:", 0.0) if one == pid else own
        shared += sizes.get("Pss:", 0.0)
    return own, shared


def prepare(source: Path, out: Path, kill_after: int | None = None) -> dict[str, Any]:
    """`hiclr prepare` in a process of its own, watched; killed when so many segments are there."""
    start, own, together = time.perf_counter(), 0.0, 0.0
    command = [sys.executable, "-m", "hiclr", "prepare", str(source), "--out", str(out), "--json"]
    with tempfile.TemporaryFile("w+") as answer:
        process = subprocess.Popen(command, stdout=answer, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        spool, reading, most = out.with_name(f"{out.name}.partial"), None, 0
        while process.poll() is None:
            now = resident(process.pid)
            own, together = max(own, now[0]), max(together, now[1])
            there = len(list(spool.glob("*.segment")))
            most = max(most, there)
            if reading is None and (spool / "new").is_dir():
                reading = time.perf_counter() - start
            if kill_after is not None and there >= kill_after:
                process.send_signal(signal.SIGKILL)
                kill_after = None
            time.sleep(0.1)
        answer.seek(0)
        text = answer.read()
    seconds = time.perf_counter() - start
    return {
        "code": process.returncode,
        "seconds": round(seconds, 1),
        "seconds_reading": None if reading is None else round(reading, 1),
        "segments": most,
        "peak_rss_mb": round(own),
        "peak_pss_of_all_processes_mb": round(together),
        "report": json.loads(text) if text else None,
    }


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def simulate(folder: Path, files: int, frames: int, longest: int) -> dict[str, Any]:
    """Everything, in a folder of one's own."""
    start = time.perf_counter()
    write_files(folder / "raw", files, frames, longest)
    made = time.perf_counter() - start
    whole = prepare(folder / "raw", folder / "whole")
    if whole["report"] is None:
        raise SystemExit(f"the conversion ended with {whole['code']}")
    first = prepare(folder / "raw", folder / "parts", whole["segments"] // 2)
    left = sorted(path.name for path in folder.iterdir())
    second = prepare(folder / "raw", folder / "parts")
    report = whole.pop("report")
    notes = (second.pop("report") or {"notes": ["no report"]})["notes"]
    first.pop("report")
    return {
        "files": files,
        "seconds_to_make_the_files": round(made, 1),
        "cores": cores(),
        "clips": report["clips"],
        "frames": report["frames"],
        "protocols": report["protocols"],
        "skipped": len(report["skipped"]),
        "gigabytes_of_x": round((folder / "whole" / "x.npy").stat().st_size / 1e9, 2),
        "files_per_s_with_writing": round(report["clips"] / whole["seconds"], 1),
        "files_per_s_reading": round(report["clips"] / (whole["seconds_reading"] or whole["seconds"]), 1),
        "uninterrupted": whole,
        "killed": first,
        "left_by_the_kill": left,
        "gone_on": second,
        "went_on": notes[0],
        "within_the_cap": max(r["peak_pss_of_all_processes_mb"] for r in (whole, first, second)) < CAP_MB,
        "same_bytes": digests(folder / "whole") == digests(folder / "parts"),
        "left_at_the_end": sorted(path.name for path in folder.iterdir()),
    }


def main() -> int:
    """Exit code 1 where the bytes differ or the cap was passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=NTU120)
    parser.add_argument("--frames", type=int, default=8, help="of most files")
    parser.add_argument("--longest", type=int, default=300, help="frames of one file, and so of the padded set")
    parser.add_argument("--folder", type=Path, help="where there is room; the system's temporary folder otherwise")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="ntu120-") as folder:
        found = simulate(Path(folder), given.files, given.frames, given.longest)
    text = json.dumps({**found, "machine": environment("cpu")}, indent=1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "simulate_ntu120.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if found["same_bytes"] and found["within_the_cap"] else 1


if __name__ == "__main__":
    sys.exit(main())
