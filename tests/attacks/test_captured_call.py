from types import SimpleNamespace

import pytest
import torch

from attacks.captured_call import CAPTURED, WARM_UP, CapturedCall, capture, uncounted

from ..recorded_graph import stand_in


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    return stand_in(monkeypatch)


def meter(forward=0.0, backward=0.0):
    return SimpleNamespace(forward=forward, backward=backward)


def test_a_replay_computes_from_new_inputs_what_the_function_computes():
    weights, runs = torch.rand(3, 2), []

    def function(images, labels, size):
        runs.append(len(images))
        return (images @ weights * size)[labels], images.sum(1)

    def inputs():
        return torch.rand(4, 3), torch.randint(4, (4,)), torch.rand(())

    call = CapturedCall(function, inputs())
    assert runs == [4] * (WARM_UP + 1)
    kept = []
    for _ in range(3):
        given = inputs()
        kept.append((call(*given), function(*given)))
        weights += 1  # in place, as an optimizer changes them
    for found, expected in kept:  # each is the caller's to keep
        assert all(map(torch.equal, found, expected))


def test_passes_are_counted_for_replays_alone_and_exactly():
    counter = meter(1e9 + 0.1, 0.3)

    def function(images):
        counter.forward += 0.1
        counter.backward += 0.7
        return (images + 1,)

    call = CapturedCall(function, [torch.zeros(2)], [counter])
    assert (counter.forward, counter.backward) == (1e9 + 0.1, 0.3)
    counter.forward = counter.backward = 0.0
    call(torch.zeros(2))
    assert (counter.forward, counter.backward) == (0.1, 0.7)


def close(found, expected):
    return torch.allclose(found[0], expected[0])


def test_a_replay_is_compared_with_an_eager_call():
    inputs, others = [torch.rand(3)], [torch.rand(3)]
    call, execution = capture(lambda images: (images * 2,), inputs, others, close)
    assert execution == CAPTURED and torch.equal(call(torch.ones(3))[0], torch.full((3,), 2.0))
    calls = []

    def changing(images):
        calls.append(images)
        return (images * len(calls),)

    assert capture(changing, inputs, others, close) == (
        None,
        "eager: a replay differed from the model, which keeps state outside of tensors",
    )


def test_what_waits_for_the_device_is_found_before_the_capture(recorded):
    call, execution = capture(lambda images: (images * images.sum().item(),), *[[torch.ones(3)]] * 2, close)
    assert call is None
    assert execution == "eager: the capture failed: called a synchronizing CUDA operation"
    assert "graph" not in recorded
    assert torch.ones(3).sum().item() == 3  # and may wait again


def test_a_first_call_may_wait(recorded):
    kept = []

    def function(images):
        if not kept:
            kept.append(images.sum().item())
        return (images * kept[0],)

    assert capture(function, *[[torch.ones(3)]] * 2, close)[1] == CAPTURED


def test_counters_are_set_back_even_after_an_error():
    counter = meter(3.0)
    with pytest.raises(ValueError, match="stop"), uncounted([counter]) as before:
        counter.forward, counter.backward = 9.0, 9.0
        raise ValueError("stop")
    assert (counter.forward, counter.backward) == before[0] == (3.0, 0.0)
