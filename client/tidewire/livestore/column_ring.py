"""A mirrored ring of float64 columns: any window of its newest rows is a contiguous view; no I/O.

Every row is written twice, `capacity` apart, so that the newest `size` rows always lie side by side somewhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["ColumnRing", "Floats"]

Floats = npt.NDArray[np.float64]
FIRST_ROWS: Final = 64  # rows of a new ring: 2 KiB for two columns; it doubles when it is full and may grow


class ColumnRing:
    """The newest rows, oldest first; one writer, and readers under the same lock as the writer.

    Args:
        columns: float64 values in a row; column 0 is what rows are ordered by.
        capacity: rows at first.

    Attributes:
        capacity: rows it can hold.
        size: rows it holds.
        dropped: True once rows were overwritten: the table does not reach back to its first row.
    """

    __slots__ = ("_buffer", "_end", "capacity", "dropped", "size")

    def __init__(self, columns: int, capacity: int = FIRST_ROWS) -> None:
        self.capacity = capacity
        self.size = 0
        self.dropped = False
        self._end = 0  # where the next row goes, below capacity
        self._buffer: Floats = np.empty((columns, 2 * capacity))

    @property
    def nbytes(self) -> int:
        """Return the bytes of the buffer."""
        return int(self._buffer.nbytes)

    @staticmethod
    def bytes_of(columns: int, capacity: int) -> int:
        """Return the bytes that a ring of this shape takes."""
        return columns * 2 * capacity * 8

    def rows(self) -> Floats:
        """Return all rows.

        Returns:
            float64[columns, size], oldest first. A view: the next append may overwrite its oldest rows; copy to keep.
        """
        start = self._end - self.size
        if start < 0:
            start += self.capacity
        return self._buffer[:, start : start + self.size]

    def append(self, rows: Floats) -> None:
        """Add rows at the end; where they do not fit, the oldest are overwritten.

        Args:
            rows: float64[columns, n], any n.
        """
        n = rows.shape[1]
        if n > self.capacity:
            rows = rows[:, n - self.capacity :]
            self.dropped = True
            n = self.capacity
        capacity, start = self.capacity, self._end
        end = start + n
        buffer = self._buffer
        buffer[:, start:end] = rows
        if end <= capacity:
            buffer[:, start + capacity : end + capacity] = rows
        else:
            cut = capacity - start
            buffer[:, start + capacity :] = rows[:, :cut]
            buffer[:, : end - capacity] = rows[:, cut:]
        self._end = end % capacity
        self.size += n
        if self.size > capacity:
            self.size = capacity
            self.dropped = True

    def append_row(self, row: tuple[float, ...]) -> None:
        """Add one row at the end."""
        end = self._end
        buffer = self._buffer
        buffer[:, end] = row
        buffer[:, end + self.capacity] = row
        self._end = (end + 1) % self.capacity
        if self.size == self.capacity:
            self.dropped = True
        else:
            self.size += 1

    def last_row(self) -> list[float]:
        """Return the newest row; there must be one."""
        return self._buffer[:, self._end + self.capacity - 1].tolist()  # type: ignore[no-any-return]  # NumPy types tolist as Any

    def set_last_row(self, row: tuple[float, ...]) -> None:
        """Replace the newest row; there must be one."""
        at = (self._end or self.capacity) - 1
        self._buffer[:, at] = row
        self._buffer[:, at + self.capacity] = row

    def replace_tail(self, count: int, rows: Floats) -> None:
        """Replace the newest `count` rows by others, `count` ≤ size; `rows` must not be a view of this ring."""
        self.size -= count
        self._end = (self._end - count) % self.capacity
        self.append(rows)

    def grow(self, capacity: int) -> None:
        """Give the ring room for more rows; it keeps those it has."""
        size = self.size
        buffer = np.empty((self._buffer.shape[0], 2 * capacity))
        if size:
            buffer[:, :size] = buffer[:, capacity : capacity + size] = self.rows()
        self._buffer, self.capacity, self._end = buffer, capacity, size % capacity
