"""Networks as users write them, for a file of their own."""

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels=1, dim=8, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * width, dim),
        )

    def forward(self, images):
        return self.layers(images)

def make_model(channels=1, dim=8, width=4):
    return Net(channels, dim, width)

NETWORK = Net()

def in_half():
    return Net().half()

def as_function():
    network = Net().eval()
    steps = [nn.Identity()]  # a module without weights, in a list
    return lambda images: network(steps[0](images))

def two_outputs():
    network = Net()
    class Two(nn.Module):
        def forward(self, images):
            return network(images), images
    return Two()

def with_map():
    return nn.Conv2d(1, 4, 3)

def squeezed():
    class Squeezed(nn.Module):
        def forward(self, images):
            return images.flatten(1).squeeze()
    return Squeezed()

def not_finite():
    class Broken(nn.Module):
        def forward(self, images):
            return images.flatten(1) / 0.0
    return Broken()

def zeros():
    class Zero(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :5] * 0
    return Zero()

def integers():
    class Whole(nn.Module):
        def forward(self, images):
            return (images.flatten(1) * 255).long()
    return Whole()

def of_the_batch():
    class Batched(nn.Module):
        def forward(self, images):
            flat = images.flatten(1)
            return flat - flat.mean(0)
    return Batched()

def of_the_place():
    network = Net()
    return lambda images: network(images) + torch.arange(len(images))[:, None]

def trains_inside():
    network = Net()
    class Training(nn.Module):
        def forward(self, images):
            network.train()
            return network(images)
    return Training()

def noisy():
    class Noisy(nn.Module):
        def forward(self, images):
            return images.flatten(1) + torch.rand(images.flatten(1).shape)
    return Noisy()

def detached():
    network = Net().eval()
    class Detached(nn.Module):
        def forward(self, images):
            with torch.no_grad():
                return network(images)
    return Detached()

def through_numpy():
    network = Net().eval()
    def embed(images):
        return torch.from_numpy(network(torch.from_numpy(images.numpy())).detach().numpy())
    return embed

def constant():
    class Constant(nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 4) + 1e-6 * images.flatten(1)[:, :4]
    return Constant()

def fails():
    raise RuntimeError("no weights on this machine")

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8))

def nothing():
    return None

NUMBER = 3
"""
