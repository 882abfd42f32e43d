"""The ONNX form of `taod::select`: standard operators only. onnxscript compiles these functions; they do not run."""

# mypy: ignore-errors
from __future__ import annotations

from onnxscript import opset18 as op


def select(boxes, scores, confidence: float, iou: float, keep: int):
    """The selected scores are put at their places among zeros; then the best of an image are one TopK away."""
    most = op.Constant(value_ints=[keep])
    by_class = op.Transpose(scores, perm=[0, 2, 1])
    selected = op.NonMaxSuppression(
        boxes, by_class, most, op.Constant(value_floats=[iou]), op.Constant(value_floats=[confidence])
    )
    shape = op.Shape(by_class)
    batch = op.Gather(shape, op.Constant(value_ints=[0]))
    count = op.Gather(shape, op.Constant(value_ints=[2]))
    sparse = op.ScatterND(op.Expand(op.Constant(value_float=0.0), shape), selected, op.GatherND(by_class, selected))
    # At least `keep` columns, so that TopK has enough to choose from.
    further = op.Expand(op.Constant(value_float=0.0), op.Concat(batch, most, axis=0))
    values, place = op.TopK(op.Concat(op.Flatten(sparse, axis=1), further, axis=1), most)
    found = op.Greater(values, op.Constant(value_float=0.0))
    mask = op.Cast(found, to=1)
    kinds = op.Mul(op.Cast(op.Div(place, count), to=1), mask)
    index = op.Expand(
        op.Unsqueeze(op.Mod(place, count), op.Constant(value_ints=[2])),
        op.Concat(batch, most, op.Constant(value_ints=[4]), axis=0),
    )
    edges = op.Mul(op.GatherElements(boxes, index, axis=1), op.Unsqueeze(mask, op.Constant(value_ints=[2])))
    counts = op.ReduceSum(op.Cast(found, to=6), op.Constant(value_ints=[1]), keepdims=1)
    return counts, edges, values, kinds
