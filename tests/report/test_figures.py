import shutil

import pytest
from matplotlib import image
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmark.report import write_report
from benchmark.report.figures import FIGURES, draw_figures
from benchmark.report.style import alt_text

from .fake_run import EQUAL_EPOCHS, NEIGHBOUR, FakeRun
from .own_models import HOME, MY_MODEL, models_alone, models_beside_defenses, save_images


@pytest.mark.slow
def test_figures_are_not_empty(full_report):
    for path in full_report[1]:
        if path.suffix == ".png":
            pixels = image.imread(path)
            assert min(pixels.shape[:2]) > 250
            assert pixels[..., :3].std() > 0.02
        if path.suffix == ".svg":
            content = path.read_text(encoding="utf-8")
            assert len(content) < 1_000_000 and "<dc:date>" not in content and "<dc:title>" in content


@pytest.mark.slow
def test_a_second_report_gives_the_same_bytes_and_removes_stale_figures(tmp_path, full_report):
    output, paths = full_report
    shutil.copytree(output / "store", tmp_path / "store")
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "heatmap_old_table.png").write_bytes(b"stale")
    (figures / "my_own.png").write_bytes(b"kept")
    again = write_report(tmp_path)
    assert [path.relative_to(tmp_path) for path in again] == [path.relative_to(output) for path in paths]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert not (figures / "heatmap_old_table.png").exists()
    assert (figures / "my_own.png").exists()


def test_each_kind_is_drawn_without_files(tables_of, tmp_path):
    run, tables = tables_of(models_beside_defenses(compute=(EQUAL_EPOCHS,)))
    for name in (MY_MODEL, "pgd_at", "vanilla"):
        save_images(tmp_path / "run", run.manifest, name, NEIGHBOUR)
    before = sorted(tmp_path.rglob("*"))
    for kind, drawing in FIGURES.items():
        figure = drawing(run, tables[0])
        assert isinstance(figure, Figure), kind
        assert alt_text(figure).startswith(" ".join(figure.get_suptitle().split()))
        texts = [text.get_text().replace("\n", "") for text in figure.findobj(Text)]
        assert any(texts) and not any(HOME in text for text in texts)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_figure_of_one_row_is_of_the_row_given(tables_of):
    run, (table,) = tables_of(FakeRun(seeds=(0,)))
    assert FIGURES["tsne"](run, table, table.rows[1])._suptitle.get_text().startswith(table.rows[1].name)
    assert FIGURES["tsne"](run, table)._suptitle.get_text().startswith(table.rows[0].name)


def test_titles_of_own_models_speak_of_models(tables_of):
    run, (table,) = tables_of(models_alone(unranked={}))
    titles = [FIGURES[kind](run, table)._suptitle.get_text() for kind in ("clean_vs_worst", "heatmap", "eps")]
    assert "2 ranked models" in titles[0].replace("\n", " ")
    assert not any("defense" in title for title in titles)
    assert FIGURES["training"](run, table) is None


def test_names_that_would_share_a_file_have_one_each(tables_of, tmp_path):
    names = ("a[b=1]", "a-b-1", "A-b-1")
    fake = FakeRun(weakness=dict.fromkeys(names, 0.5), references=(), seeds=(0,))
    run, tables = tables_of(fake)
    pictures = draw_figures(run, tables, tmp_path).tables[0].tsne
    assert set(pictures) == set(names) and len(set(pictures.values())) == 3
    assert all(path.is_file() for path in pictures.values())
