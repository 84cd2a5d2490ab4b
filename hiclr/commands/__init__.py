"""The commands of `python -m hiclr`, each a dataclass whose fields are its flags and whose `run` gives the answer."""

from hiclr.commands.ablate import Ablate
from hiclr.commands.answer import Answer
from hiclr.commands.exchange import Export, Import
from hiclr.commands.fuse import Fuse
from hiclr.commands.measure import Embed, Evaluate
from hiclr.commands.prepare import Doctor, Prepare
from hiclr.commands.report import Report
from hiclr.commands.train import Pretrain
from hiclr.commands.watch import Watch

__all__ = [
    "Ablate",
    "Answer",
    "Doctor",
    "Embed",
    "Evaluate",
    "Export",
    "Fuse",
    "Import",
    "Prepare",
    "Pretrain",
    "Report",
    "Watch",
]
