"""A small convolutional network of pictures, in PyTorch: pairs of 3 x 3 convolutions, halved after each pair.

Each convolution is followed by batch normalisation and a rectifier; the channels double from pair to pair, and the mean
over the last pair's places goes through one linear layer. Once it has learnt, the normalisations are multiplied into
the convolutions (`folded`): what answers is convolutions alone.
Sources: Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015; Ioffe and Szegedy, Batch normalization,
ICML 2015; Lin et al., Network in network, ICLR 2014 (the mean over all places).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tillage.learn.deep.trainer import torch
from tillage.learn.image_graph import halvings
from tillage.learn.learner import Numbers

_NORM = ("weight", "bias", "running_mean", "running_var")


def image_network(rows: int, columns: int, channels: int, width: int, classes: int, dropout: float, seed: int) -> Any:
    """The network: pictures float32 (pictures, channels, rows, columns) to logits (pictures, classes).

    `width`: channels of the first pair. The weights follow from the seed: normal, of He's deviation.
    """
    library = torch()
    nn = library.nn
    random = np.random.Generator(np.random.PCG64(seed))
    layers: list[Any] = []
    before = channels
    for n, halves in enumerate(halvings(rows, columns)):
        for _ in range(2):
            after = width << n
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        if halves:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(before, classes)]
    network = nn.Sequential(*layers)
    drawn = {}
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            deviation = np.sqrt(2 / np.prod(value.shape[1:])) if value.ndim == 4 else 0.02
            drawn[name] = library.from_numpy(random.normal(0, deviation, tuple(value.shape)).astype(np.float32))
        else:
            drawn[name] = library.zeros_like(value) if name == f"{len(layers) - 1}.bias" else value
    network.load_state_dict(drawn)
    # Channels last in memory: the convolutions of a processor are twice as fast so.
    return network.to(memory_format=library.channels_last)


def answering(weights: Mapping[str, Numbers], rows: int, columns: int) -> Callable[[Any], Any]:
    """The network of `folded` weights, as a function: pictures (pictures, channels, rows, columns) to logits.

    It is the graph of `write_image_graph` in PyTorch, which alone knows gradients.
    """
    library = torch()
    functional = library.nn.functional
    kept = {name: library.from_numpy(np.array(value)) for name, value in weights.items()}

    def logits(pictures: Any) -> Any:
        hidden, at = pictures, 0
        for halves in halvings(rows, columns):
            for _ in range(2):
                hidden = functional.conv2d(hidden, kept[f"{at}.weight"], kept[f"{at}.bias"], padding=1).relu()
                at += 1
            hidden = functional.max_pool2d(hidden, 2) if halves else hidden
        return functional.linear(hidden.mean(dim=(2, 3)), kept[f"{at}.weight"], kept[f"{at}.bias"])

    return logits


def folded(found: Mapping[str, Numbers], epsilon: float = 1e-5) -> dict[str, Numbers]:
    """The weights and biases of a trained network's convolutions and last layer, in order: `0.weight`, `0.bias`, ...

    `found`: its parameters and buffers by name. `epsilon`: what PyTorch adds to a variance.
    """
    layers = sorted({int(name.split(".")[0]) for name in found})
    made: dict[str, Numbers] = {}
    for layer in layers:
        weight = found[f"{layer}.weight"].astype(np.float64)
        if weight.ndim == 4:
            norm = {part: found[f"{layer + 1}.{part}"].astype(np.float64) for part in _NORM}
            times = norm["weight"] / np.sqrt(norm["running_var"] + epsilon)
            weight = weight * times[:, None, None, None]
            bias = norm["bias"] - norm["running_mean"] * times
        elif weight.ndim == 2:
            bias = found[f"{layer}.bias"]
        else:
            continue  # a normalisation, which went into the convolution before it
        at = len(made) // 2
        made[f"{at}.weight"] = np.ascontiguousarray(weight, np.float32)
        made[f"{at}.bias"] = np.ascontiguousarray(bias, np.float32)
    return made
