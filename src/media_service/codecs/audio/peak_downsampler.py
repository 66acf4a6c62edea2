"""Reduces the peaks of a track of unknown length to a bounded number."""

import numpy as np

from media_service.codecs.audio.peaks import Peaks


class PeakDownsampler:
    """Keeps at most `capacity` peaks, an even number. When it is full, it merges each pair of
    neighbors. Afterwards, each kept peak stands for twice as many input peaks."""

    def __init__(self, capacity: int) -> None:
        self._peaks = np.empty((capacity, 2), np.int16)
        self._count = 0
        # The number of input peaks per kept peak, and the input peaks of an incomplete one.
        self._factor = 1
        self._rest = self._peaks[:0]

    def add(self, peaks: Peaks) -> None:
        peaks = np.concatenate([self._rest, peaks])
        while len(peaks) >= self._factor:
            room = len(self._peaks) - self._count
            size = min(len(peaks) // self._factor, room) * self._factor
            now, peaks = peaks[:size], peaks[size:]
            self._append(merged(now, self._factor))
        self._rest = peaks

    def peaks(self) -> Peaks:
        rest = [merged(self._rest, len(self._rest))] if len(self._rest) else []
        return np.concatenate([self._peaks[: self._count], *rest])

    def _append(self, peaks: Peaks) -> None:
        self._peaks[self._count : self._count + len(peaks)] = peaks
        self._count += len(peaks)
        if self._count == len(self._peaks):
            self._count //= 2
            self._peaks[: self._count] = merged(self._peaks, 2)
            self._factor *= 2


def merged(peaks: Peaks, factor: int) -> Peaks:
    """Merges each group of `factor` peaks into one."""
    groups = peaks.reshape(-1, factor, 2)
    return np.stack([groups[:, :, 0].min(axis=1), groups[:, :, 1].max(axis=1)], axis=1)
