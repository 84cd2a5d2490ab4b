"""Files of labels without positions, `.npy` or pickles: read as `prepare` reads them, nothing in them is run."""

import re

import numpy as np

from hiclr.datasets.doctor.bodies import Facts
from hiclr.datasets.doctor.counts import listed_findings
from hiclr.datasets.doctor.finding import Finding
from hiclr.datasets.doctor.labels import action_findings, label_findings
from hiclr.datasets.doctor.twins import name_findings
from hiclr.datasets.readers import Format, pyskl
from hiclr.datasets.readers.arrays import LabelFile, read_label_file
from hiclr.datasets.readers.plan import Options
from hiclr.datasets.readers.tree import Tree
from hiclr.datasets.readers.unpickling import scan
from hiclr.datasets.reading import check_given
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["LABEL_FILES", "is_label_pickle", "look_at_labels"]

LABEL_FILES = re.compile(r".*\.(?:npy|pkl|pickle)", re.IGNORECASE)
_LARGEST = 2**26  # bytes; those of NTU 120 take some 3 MB
_OPTIONS = {
    "layout": "there are no positions in it",
    "pattern": "it holds the labels",
    "labels": "it holds the labels",
    "units": "there are no positions in it",
}


def is_label_pickle(kind: Format, tree: Tree) -> bool:
    """Whether a pickle holds labels alone: what is no dict and no list of dicts, which would be clips."""
    if kind.name != pyskl.FORMAT.name or tree.size(tree.names[0]) > _LARGEST:
        return False
    try:
        value = scan(tree, tree.names[0])
    except InputError:
        return False  # its reader says why
    return not isinstance(value, dict) and not (isinstance(value, list | tuple) and any(map(_is_dict, value)))


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def look_at_labels(tree: Tree, options: Options, format_name: str | None) -> tuple[dict[str, str], list[Finding]]:
    """(what it is, what is wrong with it).

    Raises:
        InputError: it holds no labels, or what could run.
        OptionError: an option that does nothing here.
    """
    check_given(options, format_name, (), _OPTIONS, f"{tree.path}, which is a file of labels")
    (name,) = tree.names
    file = read_label_file(tree, name)
    summary = {"labels": f"{len(file.labels):,}" + ("" if file.names is None else ", with the names of the clips")}
    found = label_findings(file.labels, file.names)
    if file.objects:
        do = "save plain labels, which need no such care: np.save(path, np.asarray(labels, dtype=np.int64))"
        what = f"{name} holds Python objects (a pickle): only numbers and words were read, nothing in it was run"
        found.append(Finding("objects", "note", what, do))
    return summary, [*found, *_name_findings(file, name)]


def _name_findings(file: LabelFile, place: str) -> list[Finding]:
    if file.names is None or not file.labels:
        return []
    if len(file.names) != len(file.labels):
        what = f"{place} has {counted(len(file.names), 'name')} and {counted(len(file.labels), 'label')}"
        return [Finding("names", "fault", what, "prepare it again: each clip needs one of each")]
    whole = all(isinstance(label, int) and 0 <= label < 2**31 for label in file.labels)
    y = np.array(file.labels if whole else [0] * len(file.names), dtype=np.int64)
    facts = Facts(place, NTU_25, file.names, y, ())
    found = [*name_findings(facts), *listed_findings(facts)[0]]
    return [*found, *action_findings(facts)] if whole else found
