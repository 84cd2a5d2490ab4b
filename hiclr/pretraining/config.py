"""`PretrainConfig`: every setting of a pretraining run, and the two presets."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hiclr.datasets.preprocessing import Centre, Turn
from hiclr.datasets.streams import Stream
from hiclr.errors import InputError
from hiclr.losses import Direction, Distance

__all__ = ["PRESETS", "TRANSFORMER", "PretrainConfig"]


Encoder = Literal["stgcn", "dsta", "tcn", "bigru"]
TRANSFORMER: Encoder = "dsta"
"""The encoder that HiCLR probes and fine-tunes with settings of its own."""


@dataclass(frozen=True)
class PretrainConfig:
    """The settings of one pretraining run; the defaults are the paper's (ST-GCN, NTU RGB+D).

    Raises:
        InputError: a value that cannot be meant; the field, what is wanted and what came are named.

    Source: HiCLR (arXiv 2211.13466) and its release; the small preset: see `PRESETS`.
    """

    epochs: int = 300
    """Passes over the training clips; a small set is passed several times in one, see `least_steps`."""
    batch_size: int = 128
    """Clips per step; all clips when there are fewer. The last, incomplete batch of an epoch is left out."""
    least_steps: int = 1
    """Steps of an epoch, at least: a set too small for them is gone through several times in each epoch."""
    method: Literal["hiclr", "skeletonclr", "aimclr", "ms2l", "barlow", "vicreg"] = "hiclr"
    """How is learned: HiCLR; SkeletonCLR, which is kept as HiCLR with one branch; AimCLR; MS2L; or without negatives:
    Barlow Twins in the form of PSTL, VICReg."""
    branches: int = 3
    """Number of query views, from weakest to strongest. SkeletonCLR and MS2L set it to 1 (MS2L learns from clips as
    they are); AimCLR, which takes the weakest and the strongest, to 2, or with the small views to 3, for their second
    one is slight. Barlow Twins and VICReg compare the weakest with each other one (of 1: with another draw)."""
    views: Literal["paper", "released", "small"] = "paper"
    """Which augmentations make the sets: the paper's; the paper's with the release's quirks; or those for small sets.
    Set 0 is the basic one, set 1 the normal one, the strong ones follow."""
    strong: tuple[str, ...] = ("mask",)
    """The strong sets, above the normal one: for each a kind (mask, edges or adain), or several joined by "+" (all of
    them) or by "|" (one, drawn at each step). adain mask with 4 branches is a ladder of four."""
    order: tuple[int, ...] | None = None
    """Numbers of the sets in the order in which the views add them, each once (0 2 1, say): a disordered ladder."""
    merge: tuple[int, ...] = ()
    """How many sets each view adds; one each when empty. 3 with one branch: all of three in plain contrast."""
    learn_mask: bool | None = None
    """Learn what a masked joint becomes, from 0, or leave it at 0; None: as `views` has it, learned when released."""
    key_apart: bool = False
    """The weakest view is that of the keys alone; the query views are those above it."""
    strengths: tuple[float, ...] = ()
    """How strong each set of augmentations is, one number in [0, 1] for each view; none: all 1, the full setting."""
    stream: Stream = "joint"
    """What the encoder sees: positions, vectors from the parent joint, or the differences in time of either
    (joint-motion is another name of motion)."""
    frames: int = 50
    """Frames that the valid part of each clip is resampled to."""
    centre: Centre = "person"
    """Which centre joint moves to the origin: the main person's in each frame or in the first one, or each person's."""
    turn: Turn = "frame"
    """Which shoulders are laid along x: the main person's in the first frame, or each person's in each frame."""
    encoder: Encoder | str = "stgcn"
    """ST-GCN, the paper's Transformer (DSTA), a light convolution over time alone (TCN) for small sets, a recurrent
    network (BiGRU), or package.module:Name, a class of your own that is called with the layout."""
    channels: int = 16
    """Channels of the encoder's first layers (ST-GCN and DSTA double them twice; the paper's DSTA has 32), or units of
    each direction of the BiGRU (CMD's has 1024, and 2048 features)."""
    features: int = 256
    """Width of the features that the encoder gives."""
    dropout: float = 0.5
    """Share of activations dropped in the encoder's blocks."""
    persons: Literal["present", "all"] = "all"
    """Average the features over the persons who are there, or over all places (empty ones included, as released)."""
    init: Literal["default", "released"] = "released"
    """Initial weights: torch's own, or the release's N(0, 0.02)."""
    projection: int = 128
    """Width of the projection that the loss compares."""
    projection_norm: bool = False
    """Batch norm inside the projection head."""
    queue_size: int | None = 32768
    """Keys kept as negatives; None: the largest multiple of the batch within half the training clips."""
    temperature: float = 0.07
    """Divides every similarity."""
    direction: Direction = "weak_to_strong"
    """Which view teaches in the consistency of neighbouring branches: the weaker one, the stronger one, each the other
    ("symmetric"), or none: then every branch is compared with the key (InfoNCE)."""
    distance: Distance = "cross_entropy"
    """What consistency is: of the distributions over the keys (cross_entropy, kl), or of embeddings (l1, cosine)."""
    teacher_temperature: float | None = None
    """Temperature of the teacher in each consistency term; None: `temperature`."""
    student_temperature: float | None = None
    """Temperature of the student in each consistency term; None: `temperature`."""
    neighbours: int | None = None
    """Queue keys that count in a consistency term, the nearest to the teacher; None: all."""
    branch_weights: tuple[float, ...] | None = None
    """Weight of each term above the weakest branch; None: all the same, with a sum of 1."""
    strong_keys: float = 0.0
    """Share of the queue's keys that are made from the strongest view."""
    second_queue: bool = False
    """Keep keys of the strongest view in a queue of their own, by which the last consistency term is measured."""
    momentum: float | None = 0.999
    """Share of the key encoder that stays at a step; None: 1 - 60 / steps, within [0.9, 0.996]."""
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    """Keep the momentum, or raise it to 0.999 along a cosine."""
    mining_epoch: int | None = 150
    """Epochs after which nearest neighbours in the queue count as positives; None: never."""
    mining_top: int = 1
    """Neighbours that each branch names once they count."""
    mask_own: bool = False
    """Leave a clip's own earlier keys out of its negatives (needed when the queue spans an epoch)."""
    drop_threshold: float = 0.7
    """AimCLR alone: features with this attention or more are dropped (attention is within 0.62 and 1)."""
    hidden_end: float = 0.3
    """MS2L alone: share of the frames, the last ones, that is hidden and predicted."""
    segments: int = 3
    """MS2L alone: equal parts of a clip whose order is mixed up and recognised."""
    contrast_temperature: float = 0.9
    """MS2L alone: divides similarities within the batch, in place of `temperature`."""
    expander: int = 6144
    """Barlow Twins and VICReg: width of the three-layer projector, in place of `projection`."""
    redundancy: float = 2e-4
    """Barlow Twins alone: weight of the squared correlations between different coordinates."""
    invariance: float = 25.0
    """VICReg alone: weight of the distance of two views."""
    variance: float = 25.0
    """VICReg alone: weight of standard deviations below 1."""
    covariance: float = 1.0
    """VICReg alone: weight of the squared covariances."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum 0.9, or AdamW."""
    lr: float = 0.1
    """Highest learning rate."""
    weight_decay: float = 1e-4
    """Weight decay of every parameter."""
    schedule: Literal["step", "cosine"] = "step"
    """Divide the learning rate by 10 at `lr_steps`, or let it fall to 0 along a cosine."""
    lr_steps: tuple[int, ...] = (250,)
    """Epochs after which the step schedule divides the learning rate by 10."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises from 0."""
    clip_gradient: float | None = None
    """Largest norm of the gradient; None: not limited."""
    holdout: float = 0.0
    """Share of the clips (whole subjects where known) left out of training, to choose settings by; 0: none."""
    knn_every: int = 5
    """Epochs between two looks at the nearest-neighbour accuracy on a part of the training set; 0: none."""
    seed: int = 0
    """Fixes the initial weights, the order of the clips and every draw."""
    save_minutes: float = 5.0
    """Minutes between two checkpoints within a long epoch; each epoch ends with one."""
    snapshots: int = 0
    """Epochs between two snapshots of the features of 300 clips, kept in the run folder to look at training through
    (up to 1 MB each); 0: none."""
    sync_norm: bool = False
    """Under torchrun: batch-norm statistics over all processes, not over each one's share of the batch."""
    joint_views: bool = False
    """All query views in one pass of the encoder, with batch-norm statistics over all of them."""
    compile: Literal["no", "default", "reduce-overhead"] = "no"
    """Let torch.compile fuse the encoder ("reduce-overhead": with CUDA graphs); where it fails that is said."""
    precision: Literal["32", "tf32", "bf16-mixed"] = "32"
    """Arithmetic of the encoder; projections, losses and weights stay in 32 bit. On a GPU "tf32" rounds the factors of
    products to 10 bits after the point, "32" does not."""
    deterministic: bool = False
    """On a GPU add in a fixed order, so that a run that was stopped goes on to the same bits; slower."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        if self.stream == "joint-motion":
            object.__setattr__(self, "stream", "motion")  # one name for one thing: a run goes on under either
        for name, value in _settled(self.method, self.views).items():
            object.__setattr__(self, name, value)
        self._check_numbers()
        for name, choices in _CHOICES.items():
            self._check(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        known = get_args(Encoder)
        good = self.encoder in known or re.fullmatch(r"[^:\s]+:[^:\s]+", self.encoder) is not None
        self._check("encoder", good, f"one of {', '.join(known)}, or package.module:Name of your own")
        self._check("strong_keys", 0 <= self.strong_keys <= 1, "within [0, 1]")
        weights = self.branch_weights
        fits = weights is None or (len(weights) == self.branches - 1 and min(weights, default=0) >= 0)
        wanted = f"None, or {self.branches - 1} numbers of at least 0, one for each branch above the first"
        self._check("branch_weights", fits, wanted)
        self._check("drop_threshold", 0 < self.drop_threshold <= 1, "above 0 and at most 1")
        self._check("segments", 2 <= self.segments <= 6, "within 2 and 6, which have 2 and 720 orders")
        views = self.branches + self.key_apart
        fitting = len(self.strengths) in (0, views) and all(0 <= s <= 1 for s in self.strengths)
        self._check("strengths", fitting, f"{views} numbers in [0, 1], one for each view, or none")
        self._check("momentum", self.momentum is None or 0 <= self.momentum <= 1, "within [0, 1], or None")

    def _check_numbers(self) -> None:
        self._check("batch_size", self.batch_size >= 2, "at least 2, for batch norm has nothing to do with one clip")
        self._check("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")
        for name in (
            "epochs",
            "least_steps",
            "branches",
            "frames",
            "channels",
            "features",
            "projection",
            "mining_top",
            "expander",
        ):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name, value in vars(self).items():
            self._check(name, not isinstance(value, float) or math.isfinite(value), "a finite number")
        self._check("lr_steps", min(self.lr_steps, default=1) >= 1, "epochs, from 1 on")
        for name in ("temperature", "contrast_temperature", "lr"):
            self._check(name, getattr(self, name) > 0, "above 0")
        for name in ("dropout", "warmup", "holdout", "hidden_end"):
            self._check(name, 0 <= getattr(self, name) < 1, "within [0, 1)")
        for name in (
            "weight_decay",
            "knn_every",
            "save_minutes",
            "snapshots",
            "redundancy",
            "invariance",
            "variance",
            "covariance",
        ):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        for name in ("teacher_temperature", "student_temperature", "clip_gradient"):
            self._check(name, getattr(self, name) is None or getattr(self, name) > 0, "above 0, or None")
        for name in ("queue_size", "mining_epoch", "neighbours"):
            self._check(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or None")

    def _check(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise InputError(f"{name} must be {wanted}; it is {getattr(self, name)}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PretrainConfig":
        """The settings of a run's config.json.

        Raises:
            InputError: a field this version does not know: it would be ignored in silence; or a value it cannot have.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"The settings hold fields this version does not know: {', '.join(unknown)}.")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        if plain.get("views") == "adain":  # as runs of version 0.1 have it
            plain |= {"views": "paper", "strong": ("adain", "mask")}
        try:
            return cls(**plain)
        except TypeError as error:
            raise InputError(f"The settings hold a value of a kind that its field cannot have ({error}).") from error

    def without_effect(self) -> list[str]:
        """The names of settings that differ from their defaults and change nothing beside the others."""
        distributions = {"teacher_temperature", "student_temperature", "neighbours", "second_queue"}
        consistency = {*distributions, "distance", "branch_weights"}
        idle: set[str] = set()
        if self.method != "hiclr":
            idle |= {*consistency, "direction", "strong_keys"}
        elif self.branches == 1:
            idle |= {*consistency, "direction"}
        elif self.direction == "none":
            idle |= {*distributions, "distance"}
        elif self.distance in ("l1", "cosine"):
            idle |= distributions
        default = type(self)()
        return sorted(name for name in idle if getattr(self, name) != getattr(default, name))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as config.json holds them."""
        return dataclasses.asdict(self)

    def kept(self, values: Mapping[str, Any]) -> "PretrainConfig":
        """The settings of a config.json, of an older version perhaps, to be compared with these.

        Of what it lacks, the settings that its method does not read are as here; the others have their defaults.

        Raises:
            InputError: as of `from_dict`.
        """
        found = self.from_dict(values)
        idle = [name for name, methods in _READ_BY.items() if name not in values and found.method not in methods]
        return dataclasses.replace(found, **{name: getattr(self, name) for name in idle})


def _settled(method: str, views: str) -> dict[str, Any]:
    """The settings that a method leaves no choice of."""
    if method == "skeletonclr":
        return {"method": "hiclr", "branches": 1}
    branches = {"ms2l": 1, "aimclr": 3 if views == "small" else 2}
    return {"branches": branches[method]} if method in branches else {}


_READ_BY = {
    "expander": ("barlow", "vicreg"),
    "redundancy": ("barlow",),
}
"""Settings that the presets have apart and these methods alone read."""

_CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(kind) for name, kind in get_type_hints(PretrainConfig).items() if get_origin(kind) is Literal
}
"""Field -> what it may be, where it is one of a few words."""

PRESETS: dict[str, PretrainConfig] = {
    "paper": PretrainConfig(),
    # A few hundred to a few thousand clips on a CPU: at the paper's constants the loss stays at ln(1+K) there, since
    # a momentum of 0.999 averages 1,000 steps, a queue longer than the set holds a clip's own keys, and dropout and
    # the step schedule are made for 90,000 steps. Chosen on held-out subjects of training parts.
    "small": PretrainConfig(
        epochs=60,
        batch_size=64,
        least_steps=20,
        views="small",
        frames=32,
        centre="frame",
        turn="first",
        encoder="tcn",
        channels=128,
        dropout=0.0,
        persons="present",
        init="default",
        projection_norm=True,
        queue_size=None,
        temperature=0.1,
        momentum=None,
        momentum_schedule="cosine",
        mining_epoch=None,
        mask_own=True,
        optimiser="adamw",
        lr=2e-3,
        schedule="cosine",
        lr_steps=(),
        warmup=0.1,
        clip_gradient=1.0,
        expander=512,
        redundancy=2.4e-3,  # the balance of the paper's width, see `barlow_loss`
        knn_every=1,
    ),
}
