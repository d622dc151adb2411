"""Image transforms that a defense may apply before its embedder."""

from defenses.transforms.barrage import Barrage
from defenses.transforms.base import (
    TRANSFORMS,
    Applied,
    Transform,
    TransformSpec,
)
from defenses.transforms.bit_depth import BitDepth
from defenses.transforms.jpeg import JPEG
from defenses.transforms.quilting import Quilting
from defenses.transforms.resize_pad import ResizePad
from defenses.transforms.simple import Contrast, Gamma, GaussianBlur, GaussianNoise, Translate
from defenses.transforms.total_variation import TotalVariation

__all__ = [
    "JPEG",
    "TRANSFORMS",
    "Applied",
    "Barrage",
    "BitDepth",
    "Contrast",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Quilting",
    "ResizePad",
    "TotalVariation",
    "Transform",
    "TransformSpec",
    "Translate",
]
