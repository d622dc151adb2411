import torch

from defenses import DEFENSES


def test_the_embedding_is_the_image_scaled_to_unit_length(make_member, images):
    defense = DEFENSES.build("pixels")
    embeddings = defense.build(make_member, images.labels)(images.images[:3])
    flat = images.images[:3].flatten(1)
    torch.testing.assert_close(embeddings, flat / flat.norm(dim=1, keepdim=True))
    assert defense.reference


def test_large_images_are_averaged_down(make_member, images):
    large = torch.rand(2, 3, 64, 16)
    embeddings = DEFENSES.build("pixels").build(make_member, images.labels)(large)
    averaged = large.view(2, 3, 32, 2, 16).mean(3).flatten(1)
    torch.testing.assert_close(embeddings, averaged / averaged.norm(dim=1, keepdim=True))
