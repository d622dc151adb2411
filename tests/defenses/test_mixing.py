import torch
from safetensors.torch import load_model, save_model

from defenses import DEFENSES
from defenses.mixing import hidden_layers


def test_the_hidden_layers_are_the_activations(make_member, batch):
    member = make_member().train()
    before = {key: value.clone() for key, value in member.state_dict().items()}
    layers = hidden_layers(member, batch.images[:1])
    assert layers == [part for part in member.embedder.network if isinstance(part, torch.nn.ReLU)]
    assert len(layers) == 4
    assert all(torch.equal(value, before[key]) for key, value in member.state_dict().items())
    assert not any(module._forward_hooks for module in member.modules())
    assert all(module.training for module in member.modules())


def test_mixup_inference_by_hand(make_member, batch, recorder, monkeypatch):
    defense = DEFENSES.build("mixup[mixes=3,share=0.6,stored=10]")
    model = defense.build(make_member, batch.labels)
    for _ in range(2):
        defense.loss(model.train(), batch, recorder)
    assert torch.equal(model.stored, batch.images[:10])
    draws = torch.randint(10, (3, 4), generator=torch.Generator().manual_seed(1))
    remaining = iter(draws)
    monkeypatch.setattr(torch, "randint", lambda high, size: next(remaining))
    test = torch.rand_like(batch.images[:4])
    model.eval()
    ours = model(test)
    for i in range(4):
        mixes = torch.stack([0.6 * test[i] + 0.4 * batch.images[draws[k, i]] for k in range(3)])
        mean = model.member(mixes).mean(0)
        torch.testing.assert_close(ours[i], mean / mean.norm())


def test_stored_images_come_from_training_only_and_fill_up_over_batches(make_member, batch, recorder):
    defense = DEFENSES.build("mixup[mixes=2,stored=30]")
    model = defense.build(make_member, batch.labels).train()
    assert model.randomised
    assert list(model.members) == [model.member]
    model(torch.rand_like(batch.images))  # embedding stores nothing
    assert len(model.stored) == 0
    defense.loss(model, batch, recorder)
    assert torch.equal(model.stored, batch.images)
    defense.loss(model, batch, recorder)
    assert torch.equal(model.stored, torch.cat([batch.images, batch.images[:6]]))


def test_stored_images_are_in_the_checkpoint_and_in_earlier_weights(make_member, batch, recorder, tmp_path):
    defense = DEFENSES.build("mixup[mixes=2,stored=30]")
    model, fresh = (defense.build(make_member, batch.labels).train() for _ in range(2))
    defense.loss(model, batch, recorder)
    earlier = {key: value.clone() for key, value in model.state_dict().items()}
    defense.loss(model, batch, recorder)
    save_model(model, str(tmp_path / "model.safetensors"))
    load_model(fresh, str(tmp_path / "model.safetensors"))
    assert torch.equal(fresh.stored, model.stored)
    model.load_state_dict(earlier)
    assert torch.equal(model.stored, batch.images)
