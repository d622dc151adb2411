"""Records to log."""

from benchmark.records import CellKey, CellRecord, ModelKey, ModelRecord, Provenance, ValidationResult
from benchmark.records.usage import Usage

KEY = ModelKey(
    dataset='folder:"/home/me/photos"[size=32]', backbone="smallconv", loss="triplet", defense="eat", seed=2
)
PROVENANCE = Provenance(protocol="1", commit="c", packages={}, hardware="h", created="now")
MODEL_TAG = "folder:photos[size=32]/smallconv/triplet/eat/seed2"
CELL_TAG = f"{MODEL_TAG}/retrieval-query/noise/linf/0.1"


def training(status="done"):
    return ModelRecord(
        id="m",
        key=KEY,
        status=status,
        seconds=12.5,
        relative_cost=3.0,
        curve=[0.9, 0.5, 0.25],
        validations=[ValidationResult(epoch=2, clean_map_r=0.5, attacked_map_r=0.125)],
        best_epoch=2,
        usage=Usage(device="cpu", peak_memory=1024),
        provenance=PROVENANCE,
    )


def cell(status="done"):
    key = CellKey(**dict(KEY), scenario="retrieval-query", attack="noise", norm="linf", eps=0.1)
    return CellRecord(
        id="c",
        model_id="m",
        key=key,
        status=status,
        metrics={"r1": 0.75, "map_r": 0.5},
        objective=-0.25,
        provenance=PROVENANCE,
    )


class Written:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.curves, self.values, self.closed = {}, {}, False

    def curve(self, tag, values):
        self.curves[tag] = dict(values)

    def value(self, tag, value):
        self.values[tag] = value

    def close(self):
        self.closed = True
