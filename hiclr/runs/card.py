"""The card of an exported model: what it is, of what it was made, what was measured, under what terms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hiclr.runs.rows import loss_terms

__all__ = ["model_card"]

_KNOWN = ("stream", "frames", "centre", "turn", "encoder", "channels", "features", "persons", "projection")
_FINGERPRINT = (
    "A fingerprint is the SHA-256 of positions, labels, subjects, names and joints: where two are equal the clips are "
    "the same. `hiclr.datasets.open_set(F).fingerprint` is that of a whole file, `open_set(F).split()[0].fingerprint` "
    "that of its train part."
)
_TERMS = (
    "The program is under the MIT licence. Weights are made of data, and the terms of the data hold for them: those of "
    "NTU RGB+D and PKU-MMD, for one, allow academic use alone."
)
_COLUMNS = {
    "loss": "loss: the sum that was made small.",
    "info_nce": "info_nce: its contrastive term; where nothing is learned it stays at ln_k.",
    "ln_k": "ln_k: the contrastive term of blind guessing, ln(1 + K) of K keys in the queue.",
    "consistency_1": "consistency_1, …: its terms that compare each view with the next weaker one.",
    "knn_1": "knn_1: accuracy in % of one nearest neighbour among watched clips of the training part; it watches the "
    "training and is no estimate for new clips.",
    "lr": "lr: the learning rate of the last step.",
}  # fmt: skip


def model_card(config: Mapping[str, Any]) -> str:
    """Markdown from the description of an export, see `Run.export`; nothing is said that it does not hold."""
    parts = (_head(config), _use(config), _data(config), _training(config), _metrics(config), _evaluation(config),
             _origin(config), _made(config))  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {_plain(value)} |" for name, value in rows.items() if value not in (None, "", [])]
    return "\n".join(["| | |", "|---|---|", *lines])


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value).replace("|", "\\|").replace("\n", " ")


def _head(config: Mapping[str, Any]) -> str:
    settings, layout = config["settings"], config["data"].get("layout", {})
    return (
        f"# {config['run']}\n\n"
        f"An encoder of 3D skeleton clips, trained without labels: {settings.get('encoder')}, "
        f"{settings.get('stream')} stream, {len(layout.get('joints', ()))} joints of layout "
        f"{layout.get('name', '?')}, {settings.get('features')} features. "
        f"{config['weights']['numbers']:,} numbers in {config['weights']['entries']} entries "
        "(encoder and projection head)."
    )


def _use(config: Mapping[str, Any]) -> str:
    s = config["settings"]
    return (
        "## Use\n\n```python\nimport hiclr\n\nmodel = hiclr.load(\"this folder\")\n"
        "features = model(x)  # x: (N, 3, T, V, M) positions in metres, y up, absent persons zero\n```\n\n"
        f"What the weights expect, and `model` does: {s.get('frames')} frames, centre {s.get('centre')}, turn "
        f"{s.get('turn')}, {s.get('stream')} stream, mean over {s.get('persons')} persons. "
        "`hiclr evaluate` and `hiclr embed` take the folder in the place of a run."
    )  # fmt: skip


def _data(config: Mapping[str, Any]) -> str:
    data, licence = config["data"], config.get("licence")
    rows = {
        "source": data.get("source"),
        "synthetic": "yes: the clips show nobody" if data.get("synthetic") else "",
        "clips trained on": data.get("clips"),
        "frames x persons": None if data.get("frames") is None else f"{data['frames']} x {data.get('persons')}",
        "classes (names only; labels were not used)": len(data.get("classes") or ()) or None,
        "prepared by": data.get("preprocessing"),
        "fingerprint of these clips": data.get("fingerprint"),
        "licence of the data": licence or "not stated here: look it up where the data come from before passing this on",
    }
    return "\n\n".join([f"## Data and licence\n\n{_table(rows)}", *([_FINGERPRINT] if data.get("fingerprint") else []),
                        _TERMS])  # fmt: skip


def _training(config: Mapping[str, Any]) -> str:
    known = _KNOWN if config.get("origin") else tuple(config["settings"])  # of a release no more is known
    rows = {} if config.get("origin") else {"epoch of these weights": config.get("epoch")}
    rows |= {name: config["settings"].get(name) for name in known}
    return (
        f"## Training\n\n{_table(rows)}\n\nThe names are those of `hiclr pretrain --help`, which says what each does; "
        "what another method or schedule reads has no effect here."
    )


def _metrics(config: Mapping[str, Any]) -> str:
    last, best = config["metrics"].get("last"), config["metrics"].get("best")
    if not last:
        return ""
    terms = loss_terms([last])
    names = [name for name in ("epoch", "loss", *terms, "ln_k", "knn_1", "lr") if name in last]
    rows = {"last": last} | ({"best by knn_1": best} if best else {})
    cells = [f"| {title} | {' | '.join(_plain(row.get(name)) for name in names)} |" for title, row in rows.items()]
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    said = [f"- {text}" for name, text in _COLUMNS.items() if name in names]
    if other := [name for name in terms if name not in _COLUMNS and not name.startswith("consistency_")]:
        said.append(f"- {', '.join(other)}: terms of the loss.")
    return "\n".join(["## Course of the training", "", "Means over an epoch; the weights are those of the last.", "",
                      head, *cells, "", *said])  # fmt: skip


def _evaluation(config: Mapping[str, Any]) -> str:
    found = config.get("evaluation") or []
    if not found:
        return "## Evaluation\n\nNone is kept with this model: `hiclr evaluate` makes one."
    lead = (
        "Measured on the frozen encoder, unless a name says otherwise. Probes and neighbours learn from the train "
        "part alone and nothing is chosen on the test part; the interval is that of the choice of test clips."
    )
    return "\n\n".join(["## Evaluation", lead, *(part for result in found for part in _measured(result))])


def _measured(result: Mapping[str, Any]) -> Iterator[str]:
    """The parts of one file of results: of what, the figures, their floors, what a reader must know."""
    data, chance = result["data"], result.get("chance", {})
    yield _table({
        "data": f"{result.get('source')}: {data['train']} train / {data['test']} test clips, {data['classes']} classes",
        "synthetic": "yes: these numbers say nothing about real people" if result.get("synthetic") else "",
        "train and test part": result.get("protocol"),
        "fingerprint of the whole set": result.get("fingerprint"),
        "epoch, seed of the run": f"{result.get('epoch')}, {result.get('seed')}",
        "time, commit": f"{result.get('time')}, {result.get('environment', {}).get('commit')}",
    })  # fmt: skip
    rows = result.get("rows", [])
    figures = [row for row in rows if row["protocol"] != "baseline"]
    floors = [row for row in rows if row["protocol"] == "baseline"]
    floors += [{"name": f"chance, {kind}", "value": value} for kind, value in chance.items()]
    if figures:
        yield _figures("what was measured", figures)
    if floors:
        yield "What these have to beat:\n\n" + _figures("floor", floors)
    if result.get("notes"):
        yield "\n".join(["What a reader of them must know:", "", *(f"- {note}" for note in result["notes"])])


def _figures(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"| {title} | % | 95 % interval |", "|---|---|---|"]
    for row in rows:
        name = row.get("name") or f"{row['protocol']} {row['measure']}"
        low, high = row.get("interval") or (None, None)
        lines.append(f"| {_plain(name)} | {row['value']:.2f} | {'' if low is None else f'{low:.1f} to {high:.1f}'} |")
    return "\n".join(lines)


def _origin(config: Mapping[str, Any]) -> str:
    origin = config.get("origin")
    if not origin:
        return ""
    return (
        f"## Where the weights come from\n\nFrom {origin['file']} (SHA-256 {origin['sha256']}), as {origin['title']} "
        f"released them; {len(origin['names'])} entries were taken, {len(origin['left'])} left. config.json says what "
        f"became what. {' '.join(origin.get('notes', []))}"
    )


def _made(config: Mapping[str, Any]) -> str:
    return f"## Made on\n\n{_table({k: v for k, v in config['environment'].items() if not isinstance(v, list)})}"
