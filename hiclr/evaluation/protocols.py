"""The protocols on frozen features: each is one function and one line in `PROTOCOLS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.calibration import BINS, adaptive_reliability, confidence_of, fit_temperature, reliability
from hiclr.evaluation.holdout import Holdout, hold_out
from hiclr.evaluation.knn import knn_predictions
from hiclr.evaluation.linear import class_scores, converged, linear_probe, rank_classes, top_k_accuracy
from hiclr.evaluation.probes import (
    ACTCLR,
    HICLR,
    HICLR_TRANSFORMER,
    MAMP,
    SWEEP,
    SWEEP_RATES,
    Probe,
    ProbeConfig,
    choose_rate,
    sgd_probe,
)
from hiclr.evaluation.retrieval import few_shot, ntu_one_shot, retrieve
from hiclr.evaluation.statistics import Interval, bootstrap
from hiclr.pretraining.config import TRANSFORMER

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["DEFAULT", "KNN", "PROTOCOLS", "SEED", "TOP", "Outcome", "Part", "percent"]

KNN = (1, 5, 20)
TOP = 5
SEED = 0
"""Of what a protocol draws: initial weights, the order of clips, episodes. The run's own seed is another."""

SHOTS = (1, 5)
RECALL = (1, 5, 10)
_CLIPS_A_BIN = 50  # a share of fewer is off by more than 5 points half of the time


@dataclass(frozen=True)
class Part:
    """Frozen features of a train and a test part, and what is known of their clips.

    Args:
        train: (N, D) features.
        y_train: (N,) classes.
        test: (n, D) features.
        y_test: (n,) classes.
        num_classes: C of the set.
        names_train: N clip names.
        names_test: n clip names.
        subjects_train: (N,) who acts, where that is known.
        subjects_test: (n,) who acts.
        encoder: the name of the run's encoder: HiCLR probes its transformer in another way.
        projected: gives the same part with features behind the projection head.
    """

    train: NDArray[Any]
    y_train: Ids
    test: NDArray[Any]
    y_test: Ids
    num_classes: int
    names_train: tuple[str, ...] = ()
    names_test: tuple[str, ...] = ()
    subjects_train: Ids | None = None
    subjects_test: Ids | None = None
    encoder: str = ""
    projected: Callable[[], "Part"] | None = None

    @cached_property
    def probe(self) -> "Pipeline":
        """The `linear` probe, fitted once."""
        return linear_probe(self.train, self.y_train)

    @cached_property
    def holdout(self) -> Holdout:
        """The train part cut in two, for choices."""
        return hold_out(self.y_train, self.subjects_train, seed=SEED)


@dataclass(frozen=True)
class Outcome:
    """What a protocol measured.

    Args:
        shares: accuracies over the test clips, 0..1, by name: a binomial interval holds for them.
        figures: other figures of 0..1: mAP, an error of calibration.
        ranges: 95 % interval of a figure, where there is one.
        over_subjects: 95 % bootstrap interval over whole subjects of shares and figures that are means over test clips;
            None where there are fewer than two. Those in `predicted` have theirs from there.
        more: plain values for JSON that are no percentages: settings, curves, counts.
        predicted: (n,) classes that a share counts, by its name: what statistics and tests between runs read.
        confidence: (n,) of these classes, 0..1, under the same names, where the protocol has one.
    """

    shares: Mapping[str, float]
    figures: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, Interval | None] = field(default_factory=dict)
    over_subjects: Mapping[str, Interval | None] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    predicted: Mapping[str, Ids] = field(default_factory=dict)
    confidence: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


Protocol = Callable[[Part, list[str]], Outcome]


def percent(value: float) -> float:
    """A share as % with two decimals; NaN stays."""
    return round(100 * float(value), 2)


def _linear(part: Part, notes: list[str]) -> Outcome:
    if not converged(part.probe):
        notes.append("The linear probe ran out of iterations before it converged.")
    if part.num_classes <= TOP:
        notes.append(f"Top-{TOP} of {part.num_classes} classes is always right, so the table leaves it out.")
    ranked = rank_classes(part.probe, part.test)
    shares = {f"top{k}": top_k_accuracy(ranked, part.y_test, k) for k in (1, TOP)}
    scores = class_scores(part.probe, part.test)
    confidence, _ = confidence_of(scores, part.probe["classify"].classes_, part.y_test)
    return Outcome(shares, predicted={"top1": ranked[:, 0]}, confidence={"top1": confidence})


def _knn(part: Part, notes: list[str]) -> Outcome:
    count = len(part.train)
    notes.extend(f"kNN with k = {k} takes all {count} training clips: there are no more." for k in KNN if k >= count)
    found = knn_predictions(part.train, part.y_train, part.test, KNN, part.num_classes)
    predicted = {str(k): classes for k, classes in found.items()}
    return Outcome({k: float((c == part.y_test).mean()) for k, c in predicted.items()}, predicted=predicted)


def _knn_projection(part: Part, notes: list[str]) -> Outcome:
    if part.projected is None:
        raise InputError("knn-projection needs a run with a projection head; there are only features here.")
    return _knn(part.projected(), notes)


def _sgd(name: str, own: ProbeConfig, of_transformers: ProbeConfig | None = None) -> Protocol:
    """The probe of a paper at its own learning rate: nothing is chosen."""

    def measure(part: Part, notes: list[str]) -> Outcome:
        config = own if of_transformers is None or part.encoder != TRANSFORMER else of_transformers
        probe = sgd_probe(part.train, part.y_train, part.test, part.y_test, part.num_classes, config, seed=SEED)
        probe.check()
        if len(part.train) < config.batch:
            notes.append(
                f"{name}: {len(part.train)} training clips are less than its batch of {config.batch}: each epoch is "
                f"one step of all clips, at the rate of {config.rate:g} that is meant for the larger batch."
            )
        _say_what_was_learned(name, config, probe, part, notes)
        shown = {"rate": config.rate, "batch": config.batch, "epochs": config.epochs, "steps": list(config.steps),
                 "scale_robust": False, "source": config.source}  # fmt: skip
        return _of_probe(part, probe, 0, shown)

    return measure


def _say_what_was_learned(name: str, config: ProbeConfig, probe: Probe, part: Part, notes: list[str]) -> None:
    ignorance = float(np.log(len(np.unique(part.y_train))))
    if ignorance == 0 or probe.loss[0] < 0.9 * ignorance:
        return
    size = float(np.sqrt(np.mean(np.square(part.train, dtype=np.float64))))
    notes.append(
        f"{name} has learned next to nothing of its own training clips (loss {probe.loss[0]:.2f}; ln of the number of "
        f"classes is {ignorance:.2f}). It depends on the scale of the features, whose root mean square is {size:.1e} "
        f"here, and on the number of steps at its rate of {config.rate:g}; `linear` does not."
    )


def _of_probe(part: Part, probe: Probe, which: int, more: dict[str, Any]) -> Outcome:
    """Last epoch as the result; the best look at the test part beside it, named for what it is."""
    scores = probe.logits(part.test, which)
    ranked = np.argsort(-scores, axis=1, kind="stable")
    best, epoch = probe.best(which)
    shown = {
        "best_on_test": percent(best),  # as published code reports; it is chosen on the test part
        "best_epoch": epoch,
        "loss": round(float(probe.loss[which]), 4),
        "curve": {"epoch": list(probe.looked), "top1": [percent(value) for value in probe.top1[which]]},
    }
    shares = {f"top{k}": top_k_accuracy(ranked, part.y_test, k) for k in (1, TOP)}
    return Outcome(shares, more=more | shown, predicted={"top1": ranked[:, 0]})


def _linear_sgd(part: Part, notes: list[str]) -> Outcome:
    """SGD on standardised features, the learning rate chosen on a held-out part of train."""
    chosen, trial = choose_rate(part.train, part.y_train, part.num_classes, part.holdout, SWEEP, SWEEP_RATES, SEED)
    probe = sgd_probe(part.train, part.y_train, part.test, part.y_test, part.num_classes, SWEEP, SWEEP_RATES, SEED)
    probe.check(chosen)
    table = [
        {"rate": rate, "held_out": percent(held), "test": percent(test)}
        for rate, held, test in zip(SWEEP_RATES, trial.top1[:, -1], probe.top1[:, -1], strict=True)
    ]
    if chosen in (0, len(SWEEP_RATES) - 1):
        notes.append(f"linear-sgd: the best rate, {SWEEP_RATES[chosen]:g}, is the first or last of those tried.")
    more = {"rate": SWEEP_RATES[chosen], "batch": SWEEP.batch, "epochs": SWEEP.epochs, "scale_robust": True,
            "chosen": f"on {len(part.holdout.held)} training clips held out {part.holdout.how}",
            "rates": table}  # fmt: skip
    return _of_probe(part, probe, chosen, more)


def _retrieval(part: Part, notes: list[str]) -> Outcome:
    """Test clips ask for training clips, and for each other."""
    found = retrieve(part.train, part.y_train, part.test, part.y_test, RECALL)
    own = np.arange(len(part.test))
    within = retrieve(part.test, part.y_test, part.test, part.y_test, RECALL, own=own)
    shares, figures = dict[str, float](), dict[str, float]()
    ranges, people = dict[str, Interval | None](), dict[str, Interval | None]()
    who = part.subjects_test
    for where, one in (("", found), ("within-test ", within)):
        shares |= {f"{where}recall@{k}": one.recall(k) for k in RECALL}
        if who is not None:
            people |= {f"{where}recall@{k}": bootstrap(one.found[k], who) for k in RECALL}
        if one.answerable.any():
            asked = one.average_precision[one.answerable]
            figures[f"{where}mAP"], ranges[f"{where}mAP"] = one.mean_average_precision, bootstrap(asked)
            people[f"{where}mAP"] = None if who is None else bootstrap(asked, who[one.answerable])
    alone = int((~within.answerable).sum())
    if alone:
        notes.append(f"retrieval within the test part: no other clip has the class of {counted(alone, 'clip')}, so "
                     "there is no answer: a miss in recall, left out of mAP.")  # fmt: skip
    return Outcome(shares, figures, ranges, people)


def _few_shot(part: Part, notes: list[str]) -> Outcome:
    """Examples from the train part, queries from the test part."""
    figures, ranges, more = {}, {}, {}
    for shots in SHOTS:
        try:
            found = few_shot(part.train, part.y_train, part.test, part.y_test, shots, seed=SEED)
        except InputError:
            if shots == SHOTS[0]:
                raise
            notes.append(f"few-shot: fewer than two classes have {shots} training clips, so there is no {shots}-shot.")
            continue
        name = f"{found.ways}-way {shots}-shot"
        figures[name] = found.mean
        ranges[name] = Interval(found.mean - found.half_width, found.mean + found.half_width)
        more = {"episodes": len(found.accuracy), "queries": found.queries}
    notes.append("few-shot: the classes are those of pretraining, which saw no labels; the interval is over episodes.")
    return Outcome({}, figures, ranges, more=more)


def _one_shot(part: Part, notes: list[str]) -> Outcome:
    """NTU RGB+D 120's, on the clips of both parts."""
    found = ntu_one_shot(np.concatenate([part.train, part.test]), (*part.names_train, *part.names_test))
    alone = found.right[~found.other_view]
    figures, ranges = {"top1": found.accuracy}, {"top1": bootstrap(found.right)}
    people: dict[str, Interval | None] = {}
    if part.subjects_train is not None and part.subjects_test is not None:
        who = np.concatenate([part.subjects_train, part.subjects_test])[found.queries]
        people["top1"] = bootstrap(found.right, who)
        if len(alone):
            people["without other views"] = bootstrap(alone, who[~found.other_view])
    if len(alone):
        figures["without other views"] = found.without_other_views
        ranges["without other views"] = bootstrap(alone)
    notes.append(
        "one-shot: the encoder may have seen clips of the novel actions in pretraining, without labels; the protocol's "
        "papers train on the other 100 actions only."
    )
    more = {"queries": len(found.right), "without_other_views": len(alone)}
    return Outcome({}, figures, ranges, people, more)


def _calibration(part: Part, notes: list[str]) -> Outcome:
    """Of the `linear` probe; and of one on 80 % of the training clips, before and after its temperature is fitted on
    the others."""
    figures: dict[str, float] = {}
    more: dict[str, Any] = {"bins": BINS}
    columns = part.probe["classify"].classes_
    tables = {"": confidence_of(class_scores(part.probe, part.test), columns, part.y_test)}
    cut = part.holdout
    probe = linear_probe(part.train[cut.fit], part.y_train[cut.fit])
    columns = probe["classify"].classes_
    held = np.searchsorted(columns, part.y_train[cut.held])
    temperature = fit_temperature(class_scores(probe, part.train[cut.held]), held)
    if not 0.01 < temperature < 100:
        notes.append(
            f"calibration: {temperature:.3g} is no temperature: the held-out clips are all right, or tell nothing."
        )
    if len(part.test) < _CLIPS_A_BIN * BINS:
        notes.append(
            f"calibration: {len(part.test)} test clips in {BINS} bins are {len(part.test) / BINS:.0f} a bin: by chance "
            "alone the errors of a perfect probe would not be 0 either."
        )
    scores = class_scores(probe, part.test)
    tables["_before"] = confidence_of(scores, columns, part.y_test)
    tables["_after"] = confidence_of(scores, columns, part.y_test, temperature)
    for name, (confidence, right) in tables.items():
        plain, adaptive = reliability(confidence, right), adaptive_reliability(confidence, right)
        figures |= {f"ece{name}": plain.error, f"aece{name}": adaptive.error}
        more[f"reliability{name}"] = plain.to_dict()
    if figures["ece_after"] > figures["ece_before"]:
        notes.append(
            f"calibration: the temperature {temperature:.2f}, fitted on held-out training clips ({cut.how}), makes the "
            f"error on the test clips larger, {percent(figures['ece_before']):.2f} to "
            f"{percent(figures['ece_after']):.2f} %: the one part is not like the other."
        )
    more |= {"temperature": round(temperature, 4), "fitted_on": len(cut.fit),
             "held_out": f"{len(cut.held)} training clips {cut.how}"}  # fmt: skip
    return Outcome({}, figures, more=more)


PROTOCOLS: dict[str, Protocol] = {
    "linear": _linear,
    "knn": _knn,
    "linear-hiclr": _sgd("linear-hiclr", HICLR, HICLR_TRANSFORMER),
    "linear-actclr": _sgd("linear-actclr", ACTCLR),
    "linear-mamp": _sgd("linear-mamp", MAMP),
    "linear-sgd": _linear_sgd,
    "knn-projection": _knn_projection,
    "retrieval": _retrieval,
    "few-shot": _few_shot,
    "one-shot": _one_shot,
    "calibration": _calibration,
}
"""Name -> (features, notes to add to) -> outcome. A new protocol is one function and one line here."""

DEFAULT = ("linear", "knn")
"""What is measured when nothing is named."""
