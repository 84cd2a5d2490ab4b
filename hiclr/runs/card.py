"""The card of an exported model: what it is, of what it was made, what was measured, under what terms."""

from collections.abc import Mapping
from typing import Any

from hiclr.runs.rows import loss_terms

__all__ = ["model_card"]

_KNOWN = ("stream", "frames", "centre", "turn", "encoder", "channels", "features", "persons", "projection")
_MEASURES = {"linear": "linear probe", "knn": "nearest neighbours"}


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
        "fingerprint": data.get("fingerprint"),
        "licence of the data": licence or "not stated here: look it up where the data come from before passing this on",
    }
    return (
        f"## Data and licence\n\n{_table(rows)}\n\nThe program is under the MIT licence. Weights are made of data, and "
        "the terms of the data hold for them: those of NTU RGB+D and PKU-MMD, for one, allow academic use alone."
    )


def _training(config: Mapping[str, Any]) -> str:
    known = _KNOWN if config.get("origin") else tuple(config["settings"])  # of a release no more is known
    rows = {} if config.get("origin") else {"epoch of these weights": config.get("epoch")}
    rows |= {name: config["settings"].get(name) for name in known}
    return f"## Training\n\n{_table(rows)}"


def _metrics(config: Mapping[str, Any]) -> str:
    last, best = config["metrics"].get("last"), config["metrics"].get("best")
    if not last:
        return ""
    names = [name for name in ("epoch", "loss", *loss_terms([last]), "ln_k", "knn_1", "lr") if name in last]
    rows = {"last": last} | ({"best by kNN": best} if best else {})
    cells = {title: " | ".join(_plain(row.get(name)) for name in names) for title, row in rows.items()}
    lines = [f"| {title} | {text} |" for title, text in cells.items()]
    head = "| epoch | " + " | ".join(names) + " |\n|---|" + "---|" * len(names)
    note = (
        "knn_1 is the accuracy in % of one nearest neighbour among watched clips of the training part: it watches the "
        "training and is no estimate for new clips. The weights are those of the last epoch."
    )
    return "\n".join(["## Metrics", "", head, *lines, "", note])


def _evaluation(config: Mapping[str, Any]) -> str:
    found = config.get("evaluation") or []
    if not found:
        return "## Evaluation\n\nNone is kept with this model: `hiclr evaluate` makes one."
    parts = ["## Evaluation"]
    for result in found:
        data, source = result["data"], result.get("source")
        rows = {
            "protocol": result.get("protocol"),
            "data": f"{source}: {data['train']} train / {data['test']} test clips, {data['classes']} classes",
            "epoch": result.get("epoch"),
        }
        for name, title in _MEASURES.items():
            rows |= {f"{title} {key}, %": value for key, value in result.get(name, {}).items()}
        rows |= {f"floor {key}, %": value for key, value in result.get("baseline", {}).items()}
        parts += [_table(rows), *(f"- {note}" for note in result.get("notes", []))]
    return "\n\n".join(parts)


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
