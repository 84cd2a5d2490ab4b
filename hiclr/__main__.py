"""The command line: `python -m hiclr COMMAND`, and the console script `hiclr`.

Exit codes: 0 done; 1 the input or the run is at fault (one message on stderr); 2 wrong usage; 130 interrupted.
"""

import argparse
import contextlib
import difflib
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn, get_args

import hiclr

__all__ = ["main"]

_ABOUT = "Self-supervised learning on 3D skeleton actions, on the method HiCLR (arXiv 2211.13466)."


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if args is None else args)
    _let_any_terminal_print()
    if given == ["--version"]:
        print(f"hiclr {hiclr.__version__}")
        return 0
    try:
        return _run(given)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "Interrupted.", 130)
    except BrokenPipeError:  # the reader, `head` say, has seen enough; Python's own flush at the end must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(args: list[str]) -> int:
    from hiclr.errors import InputError

    try:
        command = _parse(args)
    except InputError as error:
        return _fail(str(error), 2)  # a flag's value that no run could have
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints: stdout is for the answer
            answer = command.run()
    except InputError as error:
        return _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(f"{error.filename or 'A file'}: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        from hiclr.pretraining.memory import out_of_memory

        if not out_of_memory(error):
            raise
        what = str(error).strip().splitlines()
        return _fail(
            f"Not enough memory ({what[0] if what else 'no more is said'}). Smaller settings or fewer clips need less; "
            "of a GPU's a smaller --batch-size or --device cpu."
        )
    if not _speaks():
        return int(answer.code)
    # ASCII alone in JSON: it is read back the same whatever the terminal's encoding
    print(json.dumps(answer.data) if command.json else answer.text, flush=True)
    return int(answer.code)


def _parse(args: list[str]) -> Any:
    """The command that these arguments name; tyro prints help (exit 0) or what is wrong with them (exit 2)."""
    import tyro

    from hiclr.commands import Ablate, Doctor, Embed, Evaluate, Export, Fuse, Import, Prepare, Pretrain, Report, Watch
    from hiclr.pretraining import PRESETS

    # --preset decides the defaults of the other flags, so it is looked for before they are parsed
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", choices=PRESETS, default="small")
    try:
        preset = first.parse_known_args(args)[0].preset
    except argparse.ArgumentError:
        preset = "small"  # tyro says what is wrong with it
    settings = Pretrain(tyro.MISSING, tyro.MISSING, preset=preset, config=PRESETS[preset])
    commands = (
        Annotated[Prepare, tyro.conf.subcommand("prepare")]
        | Annotated[Doctor, tyro.conf.subcommand("doctor")]
        | Annotated[Pretrain, tyro.conf.subcommand("pretrain", default=settings)]
        | Annotated[Watch, tyro.conf.subcommand("watch")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Embed, tyro.conf.subcommand("embed")]
        | Annotated[Fuse, tyro.conf.subcommand("fuse")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Ablate, tyro.conf.subcommand("ablate")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Import, tyro.conf.subcommand("import")]
    )
    _check_command(args, [get_args(one)[1].name for one in get_args(commands)])
    return tyro.cli(commands, prog="hiclr", description=_ABOUT, args=args)


def _check_command(args: Sequence[str], names: Sequence[str]) -> None:
    """Of a slip in the command's name tyro would say only which commands have the flags that follow it."""
    from hiclr.errors import InputError

    if not args or args[0].startswith("-") or args[0] in names:
        return
    near = difflib.get_close_matches(args[0], names, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise InputError(f"There is no command {args[0]!r}.{meant} There are: {', '.join(names)}.")


def _speaks() -> bool:
    """Of several processes under torchrun the first one alone."""
    return os.environ.get("RANK", "0") == "0"


def _fail(message: str, code: int = 1) -> int:
    if _speaks():
        print(f"hiclr: {message}", file=sys.stderr, flush=True)
    return code


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    """End as on ctrl-C, so that half-written files are removed; pretraining has a gentler way of its own."""
    raise KeyboardInterrupt(f"Ended by {signal.Signals(number).name}.")


def _let_any_terminal_print() -> None:
    """A character that the terminal's encoding lacks is printed as "?" and never ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
