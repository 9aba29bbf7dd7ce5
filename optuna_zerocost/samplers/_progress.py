"""A progress bar that suits where it is shown: a terminal or a notebook."""

from __future__ import annotations

import sys
import warnings
from typing import Any

__all__ = ["progress_bar"]


def progress_bar(*, total: int, desc: str, unit: str, is_shown: bool) -> Any:
    """Return a bar of tqdm; it is shown in a notebook, and on a terminal, and not in a log."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # Without ipywidgets a notebook has a bar of text, which needs no advice.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

    if not is_shown:
        disable: bool | None = True
    else:
        # tqdm takes a notebook for a log, since its output is no terminal.
        disable = False if _is_in_notebook() else None
    return tqdm(total=total, desc=desc, unit=unit, disable=disable)


def _is_in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
