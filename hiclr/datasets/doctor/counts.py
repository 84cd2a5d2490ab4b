"""The clips beside those that were published, with the two lists of NTU clips without a usable skeleton."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.readers.clips import PUBLISHED_SPLITS, official_protocol
from hiclr.datasets.readers.ntu import NAME, NtuName, ntu_protocols
from hiclr.datasets.readers.ntu_missing import missing_names
from hiclr.datasets.wording import counted

__all__ = ["count_findings", "listed_findings", "missing_parts"]

_LATER = frozenset(f"S028C00{camera}P087R001A061" for camera in (1, 2, 3))  # came to the list on 2019-07-16
_ACTIONS_60 = 60
_WHOLE = 0.99  # of the published clips: from here on results compare
_SAMPLE = 0.2  # below it nobody takes it for the whole archive

Parts = tuple[int, int]


def missing_parts(names: Sequence[str]) -> dict[str, Parts]:
    """How many clips with these NTU names fall into (train, test) of each protocol of NTU 60 and NTU 120."""
    clips = [known for name in names if (known := NtuName.from_match(NAME.fullmatch(name)))]
    return {**_parts([clip for clip in clips if not clip.is_120], larger=False), **_parts(clips, larger=True)}


def _parts(clips: Sequence[NtuName], larger: bool) -> dict[str, Parts]:
    performer, camera, setup = (
        np.array([clip.ids[key] for clip in clips], dtype=np.int64) for key in ("subject", "camera", "setup")
    )
    masks = ntu_protocols(performer, camera, setup, larger)
    return {name: (int((~test).sum()), int(test.sum())) for name, test in masks.items()}


def count_findings(facts: Facts) -> list[Finding]:
    """Each protocol that has published counts beside them; "xsub" of clips with PKU's names is PKU's, and so on."""
    published: Mapping[str, Parts] = {**PUBLISHED_SPLITS, **facts.published}
    called = {name: name if name in published else official_protocol(name, facts.names) for name in facts.protocols}
    wanted = {name: known for name, known in called.items() if known in published}
    if not wanted:
        return []
    found, listed = listed_findings(facts)
    parts = missing_parts(listed)
    for name, known in wanted.items():
        found += _beside(name, known, facts.protocols[name], published[known], parts.get(known, (0, 0)))
    return found


def listed_findings(facts: Facts) -> tuple[list[Finding], list[str]]:
    """Clips of the missing list that are in the set, as a finding and by name."""
    known = missing_names()
    listed = sorted({m[0] for name in facts.names if (m := NAME.search(name)) and m[0] in known})
    if not listed or set(listed) <= _LATER:
        return [], listed
    what = f"on the published list of 535 clips without a usable skeleton: {counted(len(listed), 'clip')}"
    do = "leave out what is on the list: no published result counts it"
    return [grouped("missing list", "fault", what, do, map(Place, listed))], listed


def _beside(name: str, known: str, test: NDArray[np.bool_], published: Parts, listed: Parts) -> list[Finding]:
    here = (int((~test).sum()), int(test.sum()))
    off = (here[0] - published[0], here[1] - published[1])
    if off == (0, 0):
        return []
    said = f"{name}: {here[0]:,} train and {here[1]:,} test clips, published {published[0]:,} and {published[1]:,}"
    reason = _explained(known, off, listed)
    if reason:
        what = f"{said}: the {sum(off)} more are explained by {reason}"
        return [Finding("counts", "note", what, "say beside results which list was used")]
    share = sum(here) / sum(published)
    text = f"{name}: {sum(here):,} of the {sum(published):,} published clips ({_percent(share)})"
    if share < _SAMPLE:
        return [Finding("counts", "note", text, "results on a part do not compare with published ones")]
    if share < _WHOLE:
        do = "extract or download the rest; results on a part do not compare with published ones"
        return [Finding("counts", "fault", f"{text}; {said.removeprefix(f'{name}: ')}", do)]
    return [Finding("counts", "note", said, "results compare only nearly with published ones")]


def _percent(share: float) -> str:
    """Of a few clips no "0.0%"."""
    return f"{share:.1%}" if share >= 0.0005 else "less than 0.1%"


def _explained(name: str, off: Parts, listed: Parts) -> str:
    """Which list of missing clips makes this difference; empty where none does."""
    every = missing_names()
    lists = {
        "the older missing list, which has 532 names: S028 C001-C003 P087 R001 A061 came in 2019": _LATER,
        "the missing list of NTU 60 alone, which has 302 names": {n for n in every if int(n[17:]) > _ACTIONS_60},
        "clips on the missing list, which were not left out": every,
    }
    for reason, names in lists.items():
        if off == missing_parts(sorted(names)).get(name):
            return reason
    return "clips on the missing list that are still here" if off == listed else ""
