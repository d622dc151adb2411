import numpy as np
import pytest

from benchmark.records import Store
from benchmark.report.cell_results import CLUSTERING, Run
from benchmark.report.tables import collect
from benchmark.report.tsne import tsne

from .fake_run import FakeRun


@pytest.fixture
def with_hits(tmp_path):
    """Builds a run of one row whose attacked cells name the classes hit worst, which lost a fraction."""

    def build(lost, embeddings=None):
        manifest = FakeRun(weakness={"pgd_at": 0.5}, references=(), curve={}, seeds=(0,)).write(tmp_path)
        store, draw = Store(tmp_path), np.random.default_rng(0)
        labels = np.repeat(np.array([7, 3, 5], dtype=np.int32), 6)
        hits = {
            "hit_clean": draw.normal(size=(18, 8)).astype(np.float16),
            "hit_attacked": draw.normal(size=(18, 8)).astype(np.float16),
            "hit_labels": labels,
            "hit_classes": np.array([7, 3], dtype=np.int32),
            "hit_lost": np.array(lost, dtype=np.float32),
        }
        if embeddings is not None:
            hits |= {"hit_clean": embeddings, "hit_attacked": embeddings}
        for ref in manifest.cells:
            if ref.key.scenario == CLUSTERING and ref.role != "clean":
                store.save_cell(store.cell(ref.id), store.arrays(ref.id) | hits)
        run = Run(store)
        (table,) = collect(run)
        return tsne(run, table, table.rows[0])

    return build


def test_the_classes_hit_worst_are_drawn_with_lines_from_their_clean_places(with_hits):
    figure = with_hits([0.9, 0.5])
    title = figure.get_suptitle().replace("\n", " ")
    assert title.startswith("pgd_at loses 70 % of the images of the 2 classes hit worst to other classes")
    left, right = figure.axes
    assert len(left.collections) == 3 and len(right.collections) == 4
    tracks = right.collections[0].get_segments()
    places = {
        tuple(place) for collection in left.collections for place in np.asarray(collection.get_offsets())
    }
    assert len(tracks) == 18 and {tuple(track[0]) for track in tracks} == places
    legend = right.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "class 7, lost 90 %", "class 3, lost 50 %", "their neighbors"
    ]  # fmt: skip


def test_an_attack_that_moves_no_image_to_another_class_is_said_so(with_hits):
    assert "loses no image" in with_hits([0.0, 0.0]).get_suptitle()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_model_that_embeds_all_images_alike_is_drawn_without_a_warning(with_hits, value):
    figure = with_hits([0.9, 0.5], embeddings=np.full((18, 8), value, dtype=np.float16))
    for collection in figure.axes[0].collections:
        assert np.isfinite(np.asarray(collection.get_offsets())).all()
