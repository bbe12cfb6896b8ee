"""Replay: episodes on disk, and sampling of the segments that models train on."""

from adamas.data.sampling import SegmentSampler
from adamas.data.store import NEW, EpisodeStore

__all__ = ["NEW", "EpisodeStore", "SegmentSampler"]
