import base64
import io

import numpy as np
from PIL import Image

from benchmark.report.attacked_images import RowImages
from benchmark.report.figure_kinds import FIGURES
from benchmark.report.figures import TableFigures
from benchmark.report.page.pictures import TITLES, WIDEST, Album

from ..fake_run import FakeRun

SMALL = FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,), classes=8, per_class=3)


def draw(path, size=(40, 30)):
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def decoded(picture):
    head, _, data = picture.data.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_every_kind_of_figure_has_a_title():
    assert FIGURES.keys() <= TITLES.keys()


def test_figures_are_embedded_with_their_alternative_texts(tables_of, tmp_path):
    _, (table,) = tables_of(SMALL)
    first, of_row = draw(tmp_path / "figures" / "a.png"), draw(tmp_path / "figures" / "b.png")
    figures = TableFigures(clean_vs_worst=first, tsne={"pgd_at": of_row}, alt_texts={first: "It holds."})
    one, other = Album(tmp_path).of_table(table, figures)
    assert one.alt == f"Clean and worst-case scores, {table.heading}. It holds."
    assert "of pgd_at" in other.alt and (one.single, other.single) == (False, True)
    assert one.setting == {
        "dataset": "glyphs", "backbone": "smallconv", "loss": "proxy_anchor", "norm": "L∞",
        "compute": "equal epochs",
    }  # fmt: skip
    assert decoded(one).size == (one.width, one.height) == (40, 30)
    assert one.link == "figures/a.png"


def test_wide_pictures_are_shrunk(tables_of, tmp_path):
    _, (table,) = tables_of(SMALL)
    figures = TableFigures(heatmap=draw(tmp_path / "figures" / "a.png", (2 * WIDEST, 100)))
    (one,) = Album(tmp_path).of_table(table, figures)
    assert decoded(one).size == (WIDEST, 50)


def test_pictures_beyond_the_limit_are_links(tmp_path):
    paths = [draw(tmp_path / "images" / f"{number}.png") for number in (1, 2)]
    images = [RowImages("pgd_at", "glyphs", "noise", pictures=paths)]
    whole = Album(tmp_path).of_images(images)
    first, second = Album(tmp_path, limit=len(whole[0].data) + 10).of_images(images)
    assert first.data and not second.data and second.link == "images/2.png"
