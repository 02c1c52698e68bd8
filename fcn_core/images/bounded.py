"""What the readers of all formats share: the error for a bad file, and a limit on the work that a file causes."""

from __future__ import annotations

import io

_MAX_READS = 250_000  # a PNG of 25 MB in chunks of 8 kB needs 10 000


class BadFileError(ValueError):
    """A file that is damaged, unusual, or too expensive to decode; the message is a noun phrase that describes it."""


class BoundedBytes(io.BytesIO):
    """The content of a file that allows a limited number of reads.

    Without the limit, Pillow spends 32 s on 25 MB of JPEG padding, and 1 GB on 25 MB of GIF comments.
    """

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes.

        Raises
        ------
        BadFileError
            There were too many reads.
        """
        self.reads += 1
        if self.reads > _MAX_READS:
            raise BadFileError("a picture of too many parts")
        return super().read(size)
