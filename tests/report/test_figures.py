import shutil

import pytest
from matplotlib import image

from benchmark.report import write_report


@pytest.mark.slow
def test_figures_are_not_empty(full_report):
    for path in full_report[1]:
        if path.suffix == ".png":
            pixels = image.imread(path)
            assert min(pixels.shape[:2]) > 250
            assert pixels[..., :3].std() > 0.02


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
