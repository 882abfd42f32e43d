"""FAN, the fully attentional network, in its hybrid form.

Zhou et al. 2022, "Understanding the robustness in vision transformers" (arXiv:2204.12451): blocks of self-attention
between tokens and attention between channels, in front of them two stages of ConvNeXt (Liu et al. 2022,
arXiv:2201.03545), behind them a class token's attention (Touvron et al. 2021, arXiv:2103.17239). Written from the
papers; what these leave open (the positions' code, where layers are scaled) may differ from other implementations.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from runners.engine.backbones.shapes import FanShape

SCALE = 1e-5
"""What each residual branch is multiplied by at the start."""


CONVOLUTIONAL = (128, 256)
"""Channels of the two stages, of strides 4 and 8."""
STRIDE = 16
"""Pixels that a token is wide and high."""


class Fan(nn.Module):
    """Normalised images [n, 3, height, width], sides multiples of 16, to features [n, width] of the class token;
    without it (`token=False`) for its `levels` alone."""

    def __init__(self, shape: FanShape, drop_path: float = 0.0, *, token: bool = True) -> None:
        super().__init__()
        self.width = shape.width
        first, second = CONVOLUTIONAL
        self.stem = nn.Sequential(nn.Conv2d(3, first, 4, 4), ChannelNorm(first))
        self.early = nn.Sequential(*(Convolutional(first) for _ in range(shape.stages[0])))
        self.between = nn.Sequential(ChannelNorm(first), nn.Conv2d(first, second, 2, 2))
        self.late = nn.Sequential(*(Convolutional(second) for _ in range(shape.stages[1])))
        self.embed = nn.Conv2d(second, shape.width, 2, 2)
        self.places = PositionEncoding(shape.width)
        rates = [drop_path * place / max(1, shape.depth - 1) for place in range(shape.depth)]
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, rate) for rate in rates)
        if token:
            self.token = nn.Parameter(torch.zeros(1, 1, shape.width))
            self.readers = nn.ModuleList(ClassAttentionHead(shape.width, shape.heads) for _ in range(2))
            self.norm = nn.LayerNorm(shape.width, eps=1e-6)
            nn.init.trunc_normal_(self.token, std=0.02)
        self.apply(_initialise)

    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of strides 4 and 8 of the convolutions, and of stride 16 after half of the blocks and all."""
        early = self.early(self.stem(images))
        late = self.late(self.between(early))
        grid = self.embed(late)
        rows, columns = grid.shape[-2:]
        tokens = (grid + self.places(rows, columns)).flatten(2).transpose(1, 2)
        found = []
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens, rows, columns)
            if number in (len(self.blocks) // 2, len(self.blocks)):
                found.append(tokens.transpose(1, 2).unflatten(2, (rows, columns)))
        return [early, late, *found]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.levels(images)[-1].flatten(2).transpose(1, 2)
        token = self.token.expand(tokens.shape[0], -1, -1)
        for reader in self.readers:
            token = reader(token, tokens)
        found: torch.Tensor = self.norm(token)[:, 0]
        return found


class Block(nn.Module):
    """Attention between tokens, then between channels."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.channels = ChannelAttention(width, heads)
        self.scales = nn.Parameter(torch.full((2, width), SCALE))
        self._drop = drop_path

    def forward(self, tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        normed = self.before(tokens)
        tokens = tokens + self._kept(self.scales[0] * self.attention(normed, normed))
        return tokens + self._kept(self.scales[1] * self.channels(self.after(tokens), rows, columns))

    def _kept(self, branch: torch.Tensor) -> torch.Tensor:
        """Stochastic depth (Huang et al. 2016, arXiv:1603.09382)."""
        if not self.training or not self._drop:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self._drop
        return branch * kept / (1 - self._drop)


class Attention(nn.Module):
    """Queries [n, q, width] at keys and values of tokens [n, k, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.ask, self.keys, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, queries: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        asked = self.ask(queries).unflatten(2, (self._heads, -1)).transpose(1, 2)
        keys, values = self.keys(tokens).unflatten(2, (2, self._heads, -1)).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(asked, keys, values)
        out: torch.Tensor = self.out(found.transpose(1, 2).flatten(2))
        return out


class ChannelAttention(nn.Module):
    """The paper's efficient form: how much a channel agrees with the mean of all channels of its head, as a sigmoid,
    weights the channel of a two-layer network with a depthwise convolution between its layers."""

    def __init__(self, width: int, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self._heads = heads
        self.ask = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.ones(heads, 1))
        self.widen, self.narrow = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)
        self.near = nn.Conv2d(ratio * width, ratio * width, 3, 1, 1, groups=ratio * width)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        asked = self.ask(tokens).softmax(dim=1).unflatten(2, (self._heads, -1))  # over the tokens
        prototype = tokens.softmax(dim=1).reshape(-1, *asked.shape[1:]).mean(dim=3, keepdim=True)
        share = ((asked * prototype).sum(dim=1).sigmoid() * self.temperature).flatten(1)  # [n, width]
        wide = self.widen(tokens)
        near = self.near(wide.transpose(1, 2).unflatten(2, (rows, columns))).flatten(2).transpose(1, 2)
        found: torch.Tensor = self.norm(self.narrow(nn.functional.gelu(wide + near))) * share[:, None]
        return found


class ClassAttentionHead(nn.Module):
    """The class token reads the tokens and passes a two-layer network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scales = nn.Parameter(torch.ones(2, width))

    def forward(self, token: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        both = self.before(torch.cat([token, tokens], dim=1))
        token = token + self.scales[0] * self.attention(both[:, :1], both)
        found: torch.Tensor = token + self.scales[1] * self.network(self.after(token))
        return found


class Convolutional(nn.Module):
    """A block of ConvNeXt: a depthwise convolution of 7 x 7, then a two-layer network a pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 7, 1, 3, groups=width)
        self.norm = ChannelNorm(width)
        self.network = nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1))
        self.scale = nn.Parameter(torch.full((width, 1, 1), 1e-6))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = images + self.scale * self.network(self.norm(self.near(images)))
        return found


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of [n, channels, rows, columns]."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PositionEncoding(nn.Module):
    """A code [1, width, rows, columns] of the tokens' places: sines and cosines of 16 wavelengths down and across
    (Vaswani et al. 2017, arXiv:1706.03762), projected to the width."""

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.project = nn.Conv2d(2 * hidden, width, 1)
        self._hidden = hidden

    def forward(self, rows: int, columns: int) -> torch.Tensor:
        like = self.project.weight
        waves = 10000 ** (torch.arange(self._hidden // 2, device=like.device) * 2 / self._hidden)
        codes = []
        for count in (rows, columns):
            phase = (torch.arange(count, device=like.device) + 1)[:, None] / count * 2 * math.pi / waves
            codes.append(torch.cat([phase.sin(), phase.cos()], dim=1))
        down = codes[0][:, None].expand(-1, columns, -1)
        across = codes[1][None].expand(rows, -1, -1)
        found: torch.Tensor = self.project(torch.cat([down, across], dim=2).permute(2, 0, 1)[None].to(like.dtype))
        return found


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
