"""Images as the networks of NAS-Bench-201 read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import UNREADABLE, open_arrays

__all__ = ["read_images"]

_SIZE = 32
# The means and standard deviations with which the benchmark normalised CIFAR-10.
_MEAN = np.array([125.3, 123.0, 113.9], dtype=np.float32) / 255
_DEVIATION = np.array([63.0, 62.1, 66.7], dtype=np.float32) / 255


def read_images(path: Path, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the first images and labels of an ``.npz`` file.

    Args:
        path: Has ``x``, uint8 of shape (n, 32, 32, 3), and ``y``, n labels.
        count: How many are read.

    Returns:
        Normalised images (count, 3, 32, 32), float32, and labels (count,), int64.

    Raises:
        BenchmarkError: If the file cannot be read or has too few.
    """
    try:
        with open_arrays(path) as data:
            images, labels = data["x"][:count], data["y"][:count]
    except UNREADABLE as error:
        raise BenchmarkError(
            f"cannot read images from {path} ({error}); it must be an .npz file with x, uint8 of "
            "shape (n, 32, 32, 3), and y, n labels"
        ) from error
    if images.shape != (count, _SIZE, _SIZE, 3) or len(labels) != count:
        raise BenchmarkError(
            f"{path} holds images of shape {images.shape} with {len(labels)} labels, but "
            f"{(count, _SIZE, _SIZE, 3)} are needed; ask for a smaller --batch-size, or name "
            "another file"
        )
    normalised = (images.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return (
        torch.from_numpy(np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))),
        torch.from_numpy(labels.astype(np.int64)),
    )
