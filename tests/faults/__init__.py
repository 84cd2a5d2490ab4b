"""Faults put in on purpose, and what must come of them: see README.md."""

import os

LONG = os.environ.get("HICLR_FAULTS") == "long"
"""Many more kills and cases; by hand, before a release."""
