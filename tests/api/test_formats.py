"""One network in every form that an own model may have."""

import pytest
import torch

from benchmark import evaluate

from ..models.own.networks import SOURCE
from ..models.own.written import exported, network, onnx, script

WHITE_BOX = "pgd_decay[objective=neighbour,steps=3]"


@pytest.mark.slow
def test_every_form_of_a_network_has_the_same_scores(tmp_path, monkeypatch):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    net = network(side=8)
    (tmp_path / "nets.py").write_text(SOURCE)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    script(net, tmp_path / "net.pt", side=8)
    exported(net, tmp_path / "net.pt2", side=8, dynamic_shapes=({0: torch.export.Dim("batch")},))
    onnx(net, tmp_path / "net.onnx", side=8)
    specs = [f"{tmp_path}/nets.py:make_model[weights={tmp_path}/w.pth]"]
    specs += [f"{tmp_path}/net.{end}" for end in ("pt", "pt2", "onnx")]
    results = evaluate(
        {spec: spec for spec in specs},
        "digits",
        [WHITE_BOX, "noise"],
        eps=0.1,
        device="cpu",
        checks=False,
        progress=False,
    )
    rows = [results.row(spec) for spec in specs]
    assert rows[0].clean.r1 > 0.5
    for row in rows[1:]:
        for name in ("ami", "nmi", "r1"):
            assert getattr(row.clean, name) == pytest.approx(getattr(rows[0].clean, name), abs=1e-4)
    assert rows[0].attacks[WHITE_BOX].r1 < rows[0].clean.r1 - 0.1
    for row in rows[1:3]:
        for name in ("ami", "nmi", "r1"):
            found, wanted = (getattr(one.attacks[WHITE_BOX], name) for one in (row, rows[0]))
            assert found == pytest.approx(wanted, abs=1e-4)
    assert WHITE_BOX not in rows[3].attacks and rows[3].rank is None and rows[3].unranked
