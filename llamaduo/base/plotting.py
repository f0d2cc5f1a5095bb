"""How figures look that matplotlib draws; set before it is first imported."""

import logging
import os
from typing import Any

from llamaduo.base.cache import cache_folder

# Before its import: matplotlib would else look for a home of its own, and warn where it has none.
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))

# They tell, glyph by glyph, how a font is cut down.
for chatty in ("fontTools", "matplotlib"):
    logging.getLogger(chatty).setLevel(logging.ERROR)

DPI = 200
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, SOFT, GRID_INK = "#1d2125", "#5c6570", "#e4e6e9"
LOOKS: dict[Any, Any] = {  # matplotlib types every key as a literal
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID_INK,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",  # not see-through: readable on a dark slide too
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # TrueType, so that text stays text
}
