"""The cells of a notebook, as its host tells of them: which one runs now, and which of its runs this is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["current_cell", "running_kernel"]


def current_cell(otherwise: str) -> tuple[str, str]:
    """Return what stays when a cell is run again (`otherwise` where the host has no cells), and what does not.

    Source: JupyterLab, Notebook 7 and VS Code put ``cellId`` into the metadata of an execution, Colab
    ``colab: {cell_id}``.
    """
    kernel = running_kernel()
    parent: Mapping[str, Any] = kernel.get_parent() if kernel is not None else {}
    metadata = parent.get("metadata") or {}
    colab = metadata.get("colab")
    cell = metadata.get("cellId") or (colab.get("cell_id") if isinstance(colab, dict) else None) or otherwise
    return str(cell), str((parent.get("header") or {}).get("msg_id", ""))


def running_kernel() -> Any:
    """Return the Jupyter kernel that this process is, None if it is none."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - only in notebooks
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)
