"""Which parent an action gets: the nearest earlier action, the given job, or the newest job that fits."""

from __future__ import annotations

import pytest

from taod.catalogue import Catalogue
from taod.errors import BadRequest
from taod.services.jobs.parent_selection import Link, choose_parent

TRAIN = Link("t1", "train")
EXPORT = Link("x1", "export")


def choose(action, *, network="classification_tf2", earlier=(), given=None, existing=(), must_have=False):
    found = Catalogue().network(network)
    return choose_parent(found, action, earlier=earlier, given=given, existing=existing, must_have=must_have)


def test_the_nearest_earlier_action_of_the_request_wins_over_the_given_job() -> None:
    prune, retrain = Link("p1", "prune"), Link("r1", "retrain")
    assert choose("retrain", earlier=[prune], given=TRAIN) == prune
    assert choose("evaluate", earlier=[prune, retrain], given=TRAIN) == retrain


def test_the_given_job_is_used_where_no_earlier_action_fits() -> None:
    assert choose("prune", given=TRAIN) == TRAIN
    assert choose("gen_trt_engine", earlier=[Link("p1", "prune")], given=EXPORT) == EXPORT


def test_without_a_job_the_newest_fitting_one_is_found() -> None:
    older = Link("t0", "train")
    assert choose("export", existing=[EXPORT, TRAIN, older]) == TRAIN


def test_an_export_of_ocdnet_ignores_a_newer_prune() -> None:
    prune = Link("p1", "prune")
    assert choose("export", network="ocdnet", existing=[prune, TRAIN]) == TRAIN
    assert choose("export", network="ocdnet", earlier=[TRAIN, prune]) == TRAIN
    with pytest.raises(BadRequest, match=r"\(prune\) cannot be the parent of export"):
        choose("export", network="ocdnet", given=prune)


def test_an_evaluation_of_pretrained_weights_needs_no_parent() -> None:
    assert choose("evaluate", existing=[TRAIN]) is None
    assert choose("evaluate", existing=[TRAIN], must_have=True) == TRAIN


@pytest.mark.parametrize(
    ("action", "options", "words"),
    [
        ("train", {"given": TRAIN}, "train of classification_tf2 follows no job"),
        ("export", {"given": EXPORT}, "export of classification_tf2 follows train, prune, retrain"),
        ("export", {}, "export needs a parent job"),
        ("gen_trt_engine", {"existing": [TRAIN]}, "run one of them first"),
        ("evaluate", {"must_have": True}, "evaluate needs a parent job"),
    ],
)
def test_an_action_without_a_fitting_parent_is_rejected(action, options, words) -> None:
    with pytest.raises(BadRequest, match=words):
        choose(action, **options)
