"""FAN, written from its paper: sizes, levels, what its parts compute, and that it learns and is exported."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from runners.engine.backbones.fan import ChannelAttention, Fan, PositionEncoding  # noqa: E402
from runners.engine.backbones.shapes import FAN, FanShape  # noqa: E402

pytestmark = pytest.mark.engine
SMALL = FanShape(32, 4, 2, (1, 1))
PAPER = {
    "fan_tiny_8_p4_hybrid": 7.4,
    "fan_small_12_p4_hybrid": 26.3,
    "fan_base_16_p4_hybrid": 50.4,
    "fan_large_16_p4_hybrid": 76.8,
}
"""Millions of weights with a head of 1,000 classes, table 2 of the paper."""


@pytest.mark.parametrize("name", PAPER)
def test_the_sizes_are_those_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        model = Fan(FAN[name])
    count = sum(one.numel() for one in model.parameters()) + 1001 * model.width
    assert count / 1e6 == pytest.approx(PAPER[name], rel=0.02)


def test_levels_have_their_strides_and_any_rectangle_is_read() -> None:
    model = Fan(SMALL).eval()
    shapes = [tuple(level.shape) for level in model.levels(torch.randn(2, 3, 64, 96))]
    assert shapes == [(2, 128, 16, 24), (2, 256, 8, 12), (2, 32, 4, 6), (2, 32, 4, 6)]
    assert model(torch.randn(2, 3, 64, 96)).shape == (2, 32)
    assert not hasattr(Fan(SMALL, token=False), "readers")


def test_the_share_of_a_channel_is_its_agreement_with_the_mean_of_its_head() -> None:
    part = ChannelAttention(8, 2).eval()
    tokens = torch.randn(1, 6, 8)
    shares = []
    for head in (slice(0, 4), slice(4, 8)):
        prototype = tokens.softmax(dim=1)[0, :, head].mean(dim=1)
        shares.append((part.ask(tokens).softmax(dim=1)[0, :, head].T @ prototype).sigmoid())
    wide = part.widen(tokens)
    near = part.near(wide.transpose(1, 2).reshape(1, 32, 2, 3)).flatten(2).transpose(1, 2)
    values = part.norm(part.narrow(torch.nn.functional.gelu(wide + near)))
    assert torch.allclose(part(tokens, 2, 3), values * torch.cat(shares), atol=1e-6)


def test_every_place_has_another_code() -> None:
    codes = PositionEncoding(16)(3, 5).flatten(2)[0].T
    assert torch.cdist(codes, codes).fill_diagonal_(1).min() > 1e-3


def test_stochastic_depth_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    model, images = Fan(SMALL, drop_path=0.9), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for block in model.blocks:
            block.scales.fill_(1.0)
        model.train()
        assert not torch.equal(model(images), model(images))
        model.eval()
        assert torch.equal(model(images), model(images))


@pytest.mark.slow
def test_an_exported_fan_reads_batches_of_any_size(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    model = Fan(SMALL).eval()
    batch = torch.export.Dim("batch")
    path = str(tmp_path / "fan.onnx")
    torch.onnx.export(
        model, (torch.randn(2, 3, 32, 48),), path, dynamo=True, external_data=False, dynamic_shapes=({0: batch},)
    )
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = torch.randn(count, 3, 32, 48)
        (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        assert torch.allclose(torch.from_numpy(found), model(images), atol=1e-3)
