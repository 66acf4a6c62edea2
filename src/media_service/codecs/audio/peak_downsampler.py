"""The peaks of a whole sound, however long it turns out to be."""

import numpy as np

from media_service.codecs.audio.peaks import Peaks


class PeakDownsampler:
    """Takes peaks as they come and holds at most so many, an even number: when there are that many,
    each is merged with its neighbour."""

    def __init__(self, most: int) -> None:
        self._held = np.empty((most, 2), np.int16)
        self._count = 0
        # How many of those that come make one that is held; and those that are no whole one yet.
        self._each = 1
        self._rest = self._held[:0]

    def take(self, peaks: Peaks) -> None:
        peaks = np.concatenate([self._rest, peaks])
        while len(peaks) >= self._each:
            room = len(self._held) - self._count
            size = min(len(peaks) // self._each, room) * self._each
            now, peaks = peaks[:size], peaks[size:]
            self._hold(merged(now, self._each))
        self._rest = peaks

    def peaks(self) -> Peaks:
        rest = [merged(self._rest, len(self._rest))] if len(self._rest) else []
        return np.concatenate([self._held[: self._count], *rest])

    def _hold(self, peaks: Peaks) -> None:
        self._held[self._count : self._count + len(peaks)] = peaks
        self._count += len(peaks)
        if self._count == len(self._held):
            self._count //= 2
            self._held[: self._count] = merged(self._held, 2)
            self._each *= 2


def merged(peaks: Peaks, each: int) -> Peaks:
    """One of `each`."""
    pieces = peaks.reshape(-1, each, 2)
    return np.stack([pieces[:, :, 0].min(axis=1), pieces[:, :, 1].max(axis=1)], axis=1)
