"""Audio features on the fly: files in, augmented features on the device out, every clip as if it stood alone."""

from ontheflyspec.batch import Clip, PaddedBatch, pad
from ontheflyspec.compose import Compose

__all__ = ["Clip", "Compose", "PaddedBatch", "pad"]
