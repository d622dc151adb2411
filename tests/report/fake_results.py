"""The invented metrics, validations and images of a fake run."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from benchmark.core.mutual_information import adjusted_mutual_information
from benchmark.records import ValidationResult


def metrics(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    if "success" in arrays:
        r1 = float(arrays["success"].mean())
        return {"r1": r1, "r2": min(1.0, r1 + 0.05), "map_r": 0.8 * r1}
    values = [adjusted_mutual_information(arrays["labels"], row) for row in arrays["assignments"]]
    ami = float(np.mean(values))
    return {"ami": ami, "nmi": 0.35 + 0.65 * ami, "f1": 0.5}


def validations(epochs: int, seed: int, weakness: float) -> list[ValidationResult]:
    """Scores that rise and, under attack, fall again in the last third."""
    results = []
    for epoch in range(epochs // 12, epochs + 1, epochs // 12):
        grown = min(1.0, 1.5 * epoch / epochs)
        late = max(0.0, epoch / epochs - 2 / 3)
        attacked = (1 - weakness) * grown - 0.5 * late + 0.02 * seed
        results.append(
            ValidationResult(
                epoch=epoch,
                clean_map_r=0.5 + 0.4 * grown - 0.01 * seed,
                attacked_map_r=max(0.0, attacked),
            )
        )
    return results


def short_id(*parts: object) -> str:
    return f"{crc32('|'.join(map(str, parts)).encode()):08x}"


def generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(crc32("|".join(map(str, parts)).encode()))


def attacked_images(count: int = 2, near: int = 3, channels: int = 1, side: int = 6) -> dict[str, np.ndarray]:
    """Attacked images as a run keeps them; of the neighbors after the attack only the last is right."""
    draw = generator(count, near, channels, side)
    clean = draw.random((count, channels, side, side), dtype=np.float32)
    neighbors = draw.random((2, count, near, channels, side, side), dtype=np.float32)
    label = np.arange(count)
    right = np.repeat(label[:, None], near, axis=1)
    wrong = right + 1
    wrong[:, -1] -= 1
    index = np.arange(count * near).reshape(count, near)
    return {
        "clean": clean,
        "attacked": np.clip(clean + 0.1 * np.sign(draw.normal(size=clean.shape)), 0, 1).astype(np.float32),
        "before": neighbors[0],
        "after": neighbors[1],
        "query": 10 + label,
        "label": label,
        "before_labels": right,
        "after_labels": wrong,
        "before_index": index,
        "after_index": index + 1,
    }
