"""What all tests start from."""

import signal

import pytest

# Started in the background of a script, everything ignores SIGINT, and so would each process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = (
    "test_notebooks",
    "test_lab",
    "test_conversion",
    "test_ranks",
    "test_figures",
    "test_pretraining",
    "test_widgets",
    "test_fuzz",
    "test_cli",
    "test_signals",
    "test_ablation",
    "test_encoders",
    "test_ablations",
    "test_saving",
    "test_watching",
    "test_methods",
    "test_places",
    "test_benchmarks",
    "test_locks",
    "test_parity",
)
"""Files of more than ten seconds, the longest first: what begins last is short, and all processes end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the longest files first; within a file they stay in their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
