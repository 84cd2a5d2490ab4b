"""A grid file: which settings are compared, each variant by its name, over one base."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hiclr.errors import InputError
from hiclr.pretraining import PRESETS, PretrainConfig

__all__ = ["Grid", "Variant", "read_grid"]

_TABLES = ("name", "about", "reference", "base", "variant", "product")
_ELSEWHERE = {
    "seed": "seeds are given to the command: --seeds 5",
    "device": "the device is given to the command: --device cuda",
}
_OWN = ("lock", "log")  # in the folder of a study, beside those of the variants
_HINTS = get_type_hints(PretrainConfig)
_SETTINGS = tuple(field.name for field in dataclasses.fields(PretrainConfig))


@dataclass(frozen=True)
class Variant:
    """One set of settings.

    Args:
        name: in tables, figures and (as letters and digits) folders.
        settings: what it sets over the grid's base, as the file has it.
        config: all settings, with the preset's seed.
        about: a sentence, or "".
    """

    name: str
    settings: Mapping[str, Any]
    config: PretrainConfig
    about: str = ""

    @property
    def slug(self) -> str:
        """The name as a folder: small letters, digits and dashes."""
        plain = "".join(sign if sign.isalnum() else "-" for sign in self.name.lower())
        return "-".join(part for part in plain.split("-") if part) or "variant"


@dataclass(frozen=True)
class Grid:
    """What is compared with what.

    Args:
        name: of the comparison.
        about: what it asks, a sentence or "".
        preset: where settings start from.
        base: settings of every variant over the preset's.
        variants: in the order of the file.
        reference: name of the variant that the others are compared with.
    """

    name: str
    about: str
    preset: str
    base: Mapping[str, Any]
    variants: tuple[Variant, ...]
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as study.json holds them."""
        variants = [{"name": v.name, "about": v.about, "settings": dict(v.settings)} for v in self.variants]
        return {"grid": self.name, "about": self.about, "preset": self.preset, "base": dict(self.base),
                "reference": self.reference, "variants": variants}  # fmt: skip


def read_grid(path: Path | str, epochs: int | None = None, preset: str | None = None) -> Grid:
    """The grid of a TOML file:

        name = "direction of the loss"      # what is compared; the file's name when left out
        reference = "weak to strong"        # what the others are compared with; the first variant when left out

        [base]                              # for every variant: a preset and settings over it
        preset = "small"
        epochs = 20

        [[variant]]                         # any number of them
        name = "weak to strong"

        [[variant]]
        name = "one branch"
        branches = 1

        [product]                           # every variant with every combination of these
        encoder = ["stgcn", "tcn"]

    Settings are the fields of `PretrainConfig`; "none" stands for None, which TOML lacks.

    Args:
        path: the file.
        epochs: instead of the base's.
        preset: instead of the base's.

    Raises:
        InputError: no such file, no TOML, an unknown table or setting (with the nearest known one), a value that a
            setting cannot have, names that are missing or not told apart, no variant.
    """
    file = Path(path)
    found = _read(file)
    _known(file, found, _TABLES, "entry")
    base = _table(file, found, "base")
    named = base.pop("preset", "small")
    preset = named if preset is None else preset
    if preset not in PRESETS:
        raise InputError(f"{file.name}: preset in [base] must be one of {', '.join(PRESETS)}; it is {preset!r}.")
    base = _values(file, base, "[base]") | ({} if epochs is None else {"epochs": epochs})
    start = _over(PRESETS[preset], base, f"{file.name}, [base]")
    variants = tuple(_variants(file, found, start))
    _check_names(file, variants)
    reference = found.get("reference", variants[0].name)
    if reference not in [variant.name for variant in variants]:
        names = ", ".join(repr(variant.name) for variant in variants)
        raise InputError(f"{file.name}: the reference {reference!r} is none of the variants: {names}.")
    return Grid(str(found.get("name", file.stem)), str(found.get("about", "")), preset, base, variants, reference)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}). A grid is a TOML file.") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise InputError(f"{file} is no TOML file: {error}.") from error


def _known(file: Path, given: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), 1, 0.5)
            meant = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
            raise InputError(f"{file.name}: there is no {what} {name!r}. {meant}")


def _table(file: Path, found: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"{file.name}: {name} must be a table, [{name}]; it is {value!r}.")
    return dict(value)


def _variants(file: Path, found: Mapping[str, Any], start: PretrainConfig) -> Iterable[Variant]:
    """Every variant of the file with every combination of the product."""
    written = found.get("variant", [{}])
    if not isinstance(written, list) or not all(isinstance(entry, dict) for entry in written):
        raise InputError(f"{file.name}: variants are written as [[variant]] tables.")
    choices = _table(file, found, "product")
    for name, values in choices.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{file.name}: {name} in [product] must be a list of values; it is {values!r}.")
    if not choices and "variant" not in found:
        raise InputError(f"{file.name} has neither a [[variant]] nor a [product]: there is nothing to compare.")
    for number, entry in enumerate(written, start=1):
        for combination in product(*choices.values()):
            chosen = dict(zip(choices, combination, strict=True))
            yield _variant(file, entry, chosen, number, start)


def _variant(
    file: Path, entry: Mapping[str, Any], chosen: Mapping[str, Any], number: int, start: PretrainConfig
) -> Variant:
    own = {key: value for key, value in entry.items() if key not in ("name", "about")}
    twice = sorted(set(own) & set(chosen))
    given = [str(entry["name"])] if entry.get("name") else []
    name = ", ".join([*given, *(f"{key} {_written(value)}" for key, value in chosen.items())])
    if not name or (entry and not given):
        raise InputError(f"{file.name}: [[variant]] number {number} has no name.")
    if twice:
        raise InputError(f"{file.name}: {', '.join(twice)} of variant {name!r} is in [product] too.")
    settings = _values(file, {**own, **chosen}, f"variant {name!r}")
    config = _over(start, settings, f"{file.name}, variant {name!r}")
    return Variant(name, settings, config, str(entry.get("about", "")))


def _written(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _values(file: Path, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings as PretrainConfig takes them: tuples for lists, None for "none" where it may be."""
    for name, why in _ELSEWHERE.items():
        if name in given:
            raise InputError(f"{file.name}: {name} in {where} is no setting to compare; {why}.")
    _known(file, given, _SETTINGS, f"setting (in {where})")
    found = {}
    for name, value in given.items():
        plain = tuple(value) if isinstance(value, list) else value
        if plain == "none" and not _fits(plain, _HINTS[name]):
            plain = None
        if not _fits(plain, _HINTS[name]):
            raise InputError(f"{file.name}: {name} in {where} must be {_wanted(_HINTS[name])}; it is {value!r}.")
        found[name] = plain
    return found


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type; a whole number is a fraction too, true and false are no numbers."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in inside)
    if origin is tuple:
        kinds = [inside[0]] * len(value) if isinstance(value, tuple) and inside[-1] is ... else inside
        return (
            isinstance(value, tuple) and len(kinds) == len(value) and all(map(_fits, value, kinds))
        )  # fmt: skip
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _wanted(hint: Any) -> str:
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(inside)}"
    if origin in (Union, UnionType):
        return " or ".join(map(_wanted, inside))
    if origin is tuple:
        return f"a list, each {_wanted(inside[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: '"none"'}
    return words.get(hint, str(hint))


def _over(start: PretrainConfig, settings: Mapping[str, Any], where: str) -> PretrainConfig:
    try:
        return replace(start, **settings)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_names(file: Path, variants: tuple[Variant, ...]) -> None:
    seen: dict[str, str] = {}
    for variant in variants:
        if variant.slug in _OWN:
            raise InputError(
                f"{file.name}: variant {variant.name!r} would have a folder {variant.slug}, and the folder "
                f"{variant.slug} is the study's own. Give it another name."
            )
        if variant.slug in seen:
            raise InputError(
                f"{file.name}: the variants {seen[variant.slug]!r} and {variant.name!r} would have one folder, "
                f"{variant.slug}. Give one of them another name."
            )
        seen[variant.slug] = variant.name
