"""The coverage grid: boxes to cells, the costs of a prediction, and the model.

DetectNet (Tao, Barker and Sarathy 2016, NVIDIA): each cell of a grid predicts for each class how far an object covers
it, and the distances from the cell's point to the object's edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import nn

from runners.engine.detection import backbones
from runners.engine.detection.nms import Detector, Target
from runners.engine.networks.detectnet_v2.capabilities import STRIDE, ClassCosts, ClassRasterizer


class GridShape(msgspec.Struct, frozen=True):
    """A model's shape and its costs, as its frame keeps them; lists by class."""

    backbone: str
    classes: int
    scale: float
    """Pixels that a distance of 1 is."""
    offset: float
    """Pixels from a cell's upper left to the point that distances start from."""
    dropout: float
    freeze_blocks: list[int]
    freeze_bn: bool
    deadzone: float
    rasterizers: list[ClassRasterizer]
    costs: list[ClassCosts]
    autoweighting: bool
    least: float
    most: float


class Grid(msgspec.Struct, frozen=True):
    """What cells should predict: coverage [classes, rows, columns], distances [classes, 4, rows, columns]."""

    coverage: torch.Tensor
    distances: torch.Tensor


def points(rows: int, columns: int, shape: GridShape, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Down [rows, 1] and across [1, columns]: where distances start from, in pixels of the input."""
    down, across = (torch.arange(count, device=like.device) * STRIDE + shape.offset for count in (rows, columns))
    return down[:, None], across[None]


def rasterised(target: Target, rows: int, columns: int, shape: GridShape) -> Grid:
    """Each object covers the cells whose middle lies in its ellipse. A cell in several ellipses of a class is the
    nearest one's, or no object's where their distances (of 1 at the ellipses) differ by less than the dead zone."""
    boxes = target.boxes
    coverage = boxes.new_zeros(shape.classes, rows, columns)
    distances = boxes.new_zeros(shape.classes, 4, rows, columns)
    down, across = points(rows, columns, shape, boxes)
    y, x = (
        (torch.arange(count, device=boxes.device) + 0.5).view(view)
        for count, view in ((rows, (1, -1, 1)), (columns, (1, 1, -1)))
    )
    for index in range(shape.classes):
        own = boxes[target.labels == index]
        if not len(own):
            continue
        how = shape.rasterizers[index]
        left, top, right, bottom = (edge.view(-1, 1, 1) for edge in own.T)
        middle_x = (left + (right - left) * how.cov_center_x) / STRIDE
        middle_y = (top + (bottom - top) * how.cov_center_y) / STRIDE
        radius_x = ((right - left) / 2 / STRIDE * how.cov_radius_x).clamp(min=max(how.bbox_min_radius, 0.51))
        radius_y = ((bottom - top) / 2 / STRIDE * how.cov_radius_y).clamp(min=max(how.bbox_min_radius, 0.51))
        far = (((x - middle_x) / radius_x).square() + ((y - middle_y) / radius_y).square()).sqrt()
        nearest, who = far.min(dim=0)
        covered = nearest <= 1
        if len(own) > 1:
            second = far.topk(2, dim=0, largest=False).values[1]
            covered &= ~((second <= 1) & (second - nearest < shape.deadzone))
        coverage[index] = covered.to(coverage.dtype)
        edges = own[who]  # [rows, columns, 4]
        distances[index] = (
            torch.stack([across - edges[..., 0], down - edges[..., 1], edges[..., 2] - across, edges[..., 3] - down])
            / shape.scale
        )
    return Grid(coverage, distances)


def costs(logits: torch.Tensor, distances: torch.Tensor, targets: Sequence[Target], shape: GridShape) -> torch.Tensor:
    """[classes, 2] from logits of coverage [n, classes, rows, columns] and distances [n, 4 * classes, rows, columns]:
    the weighted cross entropy of coverages, and the mean absolute error of distances where cells are covered."""
    rows, columns = logits.shape[-2:]
    grids = [rasterised(target, rows, columns, shape) for target in targets]
    wanted = torch.stack([grid.coverage for grid in grids])
    edges = torch.stack([grid.distances for grid in grids])
    front = logits.new_tensor([cost.coverage_foreground_weight for cost in shape.costs]).view(1, -1, 1, 1)
    cover = front * wanted * nn.functional.softplus(-logits)
    cover = cover + (1 - front) * (1 - wanted) * nn.functional.softplus(logits)
    found = distances.view(len(targets), shape.classes, 4, rows, columns)
    off = (found - edges).abs() * wanted[:, :, None]
    return torch.stack([cover.mean(dim=(0, 2, 3)), off.mean(dim=(0, 2, 3, 4))], dim=1)


def weights(shape: GridShape, *, target: bool = False) -> torch.Tensor:
    """[classes, 2] that sum to 1 a class: of coverage and boxes, at the start or as they should count."""
    rows = [
        [one.weight_target if target else one.initial_weight for one in (cost.of("cov"), cost.of("bbox"))]
        for cost in shape.costs
    ]
    found = torch.tensor(rows)
    return found / found.sum(dim=1, keepdim=True)


def class_weights(shape: GridShape) -> torch.Tensor:
    """[classes, 1] that sum to 1."""
    found = torch.tensor([[cost.class_weight] for cost in shape.costs])
    return found / found.sum()


class GridDetector(Detector):
    """A ResNet of stride 16 with a convolution of 1 x 1 each for coverages and distances.

    With autoweighting the objectives of a class are weighted by their targets over the running means of their costs
    (0.99 of the mean before), so that each contributes as its target says."""

    means: torch.Tensor

    def __init__(self, shape: GridShape) -> None:
        super().__init__()
        self.backbone = backbones.Backbone(shape.backbone, [STRIDE], output_stride=STRIDE)
        width = self.backbone.channels[-1]
        self.dropout = nn.Dropout2d(shape.dropout)
        self.coverage = nn.Conv2d(width, shape.classes, 1)
        self.distances = nn.Conv2d(width, 4 * shape.classes, 1)
        nn.init.constant_(self.coverage.bias, -3.0)  # type: ignore[arg-type]
        self.register_buffer("means", torch.zeros(shape.classes, 2))
        self._shape = shape
        backbones.freeze(self.backbone, shape.freeze_blocks, norms=shape.freeze_bn)

    def predict(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of coverage [n, classes, rows, columns], distances [n, 4 * classes, rows, columns]."""
        features = self.dropout(self.backbone(images)[-1])
        return self.coverage(features), self.distances(features)

    def last(self) -> list[nn.Module]:
        return [self.coverage, self.distances]

    def losses(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """The weighted costs, summed over the classes."""
        logits, distances = self.predict(images)
        found = costs(logits.float(), distances.float(), targets, self._shape)
        shares = weights(self._shape).to(found.device)
        if self._shape.autoweighting:
            self._follow(found.detach())
            wanted = weights(self._shape, target=True).to(found.device)
            balanced = wanted / self.means.clamp(min=1e-9)
            balanced = (balanced / balanced.sum(dim=1, keepdim=True)).clamp(self._shape.least, self._shape.most)
            # A class that no image had yet has no cost of boxes.
            shares = torch.where((self.means > 0).all(dim=1, keepdim=True), balanced, shares)
        cover, boxes = (found * shares * class_weights(self._shape).to(found.device)).sum(dim=0)
        return {"coverage": cover, "boxes": boxes}

    @torch.no_grad()
    def _follow(self, found: torch.Tensor) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(found)
            found = found / torch.distributed.get_world_size()
        self.means.copy_(torch.where(self.means > 0, self.means.lerp(found, 0.01), found))


class Deployed(nn.Module):
    """Images to coverages [n, classes, rows, columns] of 0 to 1, and distances [n, 4 * classes, rows, columns]."""

    def __init__(self, detector: GridDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, distances = self.detector.predict(images)
        return logits.sigmoid(), distances
