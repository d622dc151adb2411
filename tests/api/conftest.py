import pytest


@pytest.fixture
def tensors(make_images):
    data = make_images(classes=5, per_class=6)
    return data.images, data.labels


@pytest.fixture
def places(monkeypatch, tmp_path):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
