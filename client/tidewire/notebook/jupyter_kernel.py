"""Finds the running Jupyter kernel and the cell that it executes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["current_cell", "running_kernel"]


def current_cell(otherwise: str) -> tuple[str, str]:
    """Return the id of the current cell (`otherwise` if the host names none) and the id of this execution.

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
    """Return the Jupyter kernel of this process, or None."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - only in notebooks
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)
