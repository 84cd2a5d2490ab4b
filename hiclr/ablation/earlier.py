"""Rows of an ablation that its grid no longer asks for: they were measured at a cost, and are put aside."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hiclr.errors import InputError
from hiclr.runs import Row, write_atomically
from hiclr.runs.writing import json_bytes, read_json

__all__ = ["EARLIER", "put_aside", "read_rows"]

EARLIER = "earlier.jsonl"
"""In the folder of a study: rows that were in results.jsonl before, each with what it was of."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of results, none where there is no file; of a line that is damaged its text as "damaged"."""
    rows: list[Row] = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        rows.append(row if isinstance(row, dict) else {"damaged": line.decode(errors="backslashreplace")})
    return rows


def put_aside(folder: Path, rows: Sequence[Row], measures: Sequence[str]) -> int:
    """Before results.jsonl is written anew: what is in it and not among the new rows goes into `EARLIER`.

    A row is among them where one of the same variant and seed has the same accuracies; what a run failed with is not
    kept.

    Args:
        folder: of the study; its study.json is still that of the rows.
        rows: that results.jsonl is going to hold.
        measures: names of the accuracies.

    Returns:
        The number of rows that went there now.

    Raises:
        InputError: the file cannot be written; results.jsonl is as it was.
    """

    def which(row: Mapping[str, Any]) -> str:
        return json.dumps([row.get(key) for key in ("variant", "seed", "epochs", "damaged", *measures)])

    aside = read_rows(folder / EARLIER)
    known = {*map(which, rows), *map(which, aside)}
    lost = [row for row in read_rows(folder / "results.jsonl") if "error" not in row and which(row) not in known]
    if lost:
        of = _study(folder)
        about = {key: value for key, value in of.items() if key != "variants"}
        kept = [{**row, "of": {**about, "settings": _settings(of, row)}} for row in lost]
        write_atomically(folder / EARLIER, b"".join(json_bytes(row) for row in (*aside, *kept)))
    return len(lost)


def _study(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "study.json")
    except InputError:
        return {}


def _settings(of: Mapping[str, Any], row: Mapping[str, Any]) -> Any:
    """What the row's variant set over the base."""
    return next((v.get("settings") for v in of.get("variants", ()) if v.get("name") == row.get("variant")), None)
