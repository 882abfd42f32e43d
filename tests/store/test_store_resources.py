"""Datasets, models, specs: what is written is read back, lists, references, what deleting takes along."""

from __future__ import annotations

import pytest

from store import Store
from store.records import ResourceFilter
from taod.errors import BadRequest, Conflict, NotFound
from taod.types.common import Sort
from taod.types.dataset import DatasetSummary, SplitSummary
from tests.store.conftest import REASON


def test_a_dataset_is_read_back_as_it_was_written(store: Store, make) -> None:
    dataset = make.dataset("Ziffern", path="/data/digits", state="linked")
    assert store.datasets.get(dataset.user_id, dataset.id) == dataset
    summary = DatasetSummary(state="linked", images=3, splits=[SplitSummary("train", 3, {"cat": 2, "dog": 1})])
    later = make.clock.advance()
    changed = store.datasets.update(dataset.id, summary=summary, name="digits")
    assert (changed.summary, changed.name, changed.last_modified) == (summary, "digits", later)
    assert store.datasets.get(dataset.user_id, dataset.id) == changed
    assert store.datasets.update(dataset.id, summary=None).summary is None


def test_a_dataset_is_its_users_alone(store: Store, make) -> None:
    dataset = make.dataset()
    other = make.user("grace")
    assert store.datasets.get(other.id, dataset.id) is None
    assert store.datasets.list(other.id) == ([], 0)


@pytest.mark.parametrize("wrong", ["colour", "id", "user_id", "created_on", "last_modified", "name_key"])
def test_a_name_that_is_no_changeable_field_is_a_type_error(store: Store, make, wrong: str) -> None:
    dataset, model = make.dataset(), make.model()
    with pytest.raises(TypeError, match=wrong):
        store.datasets.update(dataset.id, **{wrong: "x"})
    with pytest.raises(TypeError, match=wrong):
        store.models.update(model.id, **{wrong: "x"})


def test_an_update_of_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.datasets.update("none", name="x")
    with pytest.raises(NotFound):
        store.models.update("none", name="x")


def test_a_number_too_large_for_the_file_is_rejected_with_an_explanation(store: Store, make) -> None:
    with pytest.raises(BadRequest, match="whole number"):
        make.model(automl_R=2**63)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort.DATE_ASCENDING, ["b", "c", "a", "b"]),
        (Sort.DATE_DESCENDING, ["b", "a", "c", "b"]),
        (Sort.NAME_ASCENDING, ["a", "b", "b", "c"]),
        (Sort.NAME_DESCENDING, ["c", "b", "b", "a"]),
    ],
)
def test_lists_are_sorted_and_ties_broken_by_id(store: Store, make, sort: Sort, expected: list[str]) -> None:
    for name in "bcab":
        make.dataset(name)
    found, total = store.datasets.list(make.user().id, sort=sort)
    assert (total, [dataset.name for dataset in found]) == (4, expected)
    twins = [dataset.id for dataset in found if dataset.name == "b"]
    if sort is Sort.NAME_ASCENDING:
        assert twins == sorted(twins)
    pages = [store.datasets.list(make.user().id, sort=sort, skip=skip, size=1)[0][0] for skip in range(4)]
    assert pages == found


def test_a_page_knows_how_many_there_are_in_all(store: Store, make) -> None:
    for number in range(5):
        make.dataset(f"set {number}")
    user_id = make.user().id
    assert len(store.datasets.list(user_id, skip=3, size=10)[0]) == 2
    assert store.datasets.list(user_id, skip=9, size=10) == ([], 5)
    assert store.datasets.list(user_id, size=0) == ([], 5)


@pytest.mark.parametrize(
    ("part", "expected"),
    [("IFF", ["Ziffern 100%"]), ("%", ["Ziffern 100%"]), ("_", ["under_score"]), ("ärme", ["WÄRME"]), ("\\", [])],
)
def test_a_name_filter_takes_any_part_in_any_case_literally(store: Store, make, part: str, expected: list[str]) -> None:
    for name in ("Ziffern 100%", "under_score", "WÄRME"):
        make.dataset(name)
    found, total = store.datasets.list(make.user().id, ResourceFilter(name=part))
    assert ([dataset.name for dataset in found], total) == (expected, len(expected))


def test_the_type_filter_and_the_name_filter_both_narrow(store: Store, make) -> None:
    make.dataset("a", type="ocdnet")
    make.dataset("ab", type="ocrnet")
    found, _ = store.datasets.list(make.user().id, ResourceFilter(name="a", type="ocrnet"))
    assert [dataset.name for dataset in found] == ["ab"]


def test_a_model_is_read_back_with_its_references_in_order(store: Store, make) -> None:
    sets = [make.dataset(name).id for name in "zay"]
    weights = [make.ptm(name).id for name in ("two", "one")]
    model = make.model(ptm=weights, train_datasets=sets, eval_dataset=sets[0], automl_enabled=True, public=True)
    assert store.models.get(model.user_id, model.id) == model
    changed = store.models.update(model.id, train_datasets=[sets[2], sets[0]], ptm=[], eval_dataset=None)
    assert (changed.train_datasets, changed.ptm, changed.eval_dataset) == ([sets[2], sets[0]], [], None)
    assert store.models.get(model.user_id, model.id) == changed


def test_a_reference_must_lead_somewhere_and_nothing_is_written_when_it_does_not(store: Store, make) -> None:
    model = make.model()
    for fields in ({"train_datasets": ["none"]}, {"eval_dataset": "none"}, {"ptm": ["none"]}):
        with pytest.raises(Conflict):
            store.models.update(model.id, name="other", **fields)
    assert store.models.get(model.user_id, model.id) == model


def test_a_used_dataset_names_its_models_and_is_not_deleted(store: Store, make) -> None:
    weights, dataset = make.ptm(), make.dataset()
    trained = make.model("trained", train_datasets=[dataset.id], ptm=[weights.id])
    judged = make.model("judged", eval_dataset=dataset.id)
    assert store.datasets.users_of(dataset.id) == [(judged.id, "judged"), (trained.id, "trained")]
    assert store.models.users_of_ptm(weights.id) == [(trained.id, "trained")]
    with pytest.raises(Conflict):
        store.datasets.delete(dataset.id)
    with pytest.raises(Conflict):
        store.models.delete(weights.id)
    assert store.models.delete(trained.id) and store.models.delete(judged.id)
    assert store.datasets.delete(dataset.id) and store.models.delete(weights.id)
    assert not store.datasets.delete(dataset.id)


def test_a_user_reads_their_own_models_public_ones_and_pretrained_ones(store: Store, make) -> None:
    own, weights = make.model("own"), make.ptm("weights")
    other = make.user("grace")
    shared, secret = make.model("shared", user_id=other.id, public=True), make.model("secret", user_id=other.id)
    readable = [one.id for one in (own, weights, shared) if store.models.get(own.user_id, one.id) is not None]
    assert readable == [own.id, weights.id, shared.id]
    assert store.models.get(own.user_id, secret.id) is None


def test_pretrained_models_come_after_the_users_own_on_every_page(store: Store, make) -> None:
    for name in ("ptm b", "ptm a"):
        make.ptm(name)
    for name in ("own b", "own a"):
        make.model(name)
    user_id = make.user().id
    names = ["own a", "own b", "ptm a", "ptm b"]
    for size in (1, 2, 3, 4, 9):
        found = []
        for skip in range(0, 4, size):
            page, total = store.models.list(user_id, sort=Sort.NAME_ASCENDING, skip=skip, size=size)
            assert total == 4
            found += [model.name for model in page]
        assert found == names
    assert [model.name for model in store.models.list(user_id, sort=Sort.NAME_ASCENDING, skip=1)[0]] == names[1:]


def test_models_are_filtered_by_network_type_and_read_only(store: Store, make) -> None:
    make.model("a", network_arch="ssd")
    make.model("b", network_arch="unet", dataset_type="semantic_segmentation", read_only=True)
    user_id = make.user().id

    def names(**fields: object) -> list[str]:
        return [model.name for model in store.models.list(user_id, ResourceFilter(**fields))[0]]

    assert names(arch="ssd") == ["a"]
    assert names(type="semantic_segmentation") == ["b"]
    assert names(read_only=False) == ["a"]
    assert names(read_only=True, arch="ssd") == []


def test_pretrained_models_are_listed_by_network(store: Store, make) -> None:
    make.ptm("b", network_arch="ssd"), make.ptm("a", network_arch="ssd"), make.ptm("c", network_arch="unet")
    make.model("own", network_arch="ssd")
    assert [ptm.name for ptm in store.models.ptms(make.user().id, "ssd")] == ["a", "b"]
    assert [ptm.name for ptm in store.models.ptms(make.user().id)] == ["a", "b", "c"]


def test_a_spec_is_saved_for_each_action_of_an_owner(store: Store, make) -> None:
    model, dataset = make.model(), make.dataset()
    store.specs.save("model", model.id, "train", {"epochs": 3, "lr": [0.1, None]})
    store.specs.save("model", model.id, "train", {"epochs": 4})
    store.specs.save("dataset", dataset.id, "convert", {"a": {"b": "ü"}})
    assert store.specs.get("model", model.id, "train") == {"epochs": 4}
    assert store.specs.get("dataset", dataset.id, "convert") == {"a": {"b": "ü"}}
    assert store.specs.get("model", model.id, "evaluate") is None
    store.models.delete(model.id)
    assert store.specs.get("model", model.id, "train") is None


def test_a_spec_needs_an_owner_of_a_known_kind(store: Store) -> None:
    with pytest.raises(Conflict):
        store.specs.save("model", "none", "train", {})
    with pytest.raises(ValueError, match="user"):
        store.specs.save("user", "none", "train", {})


def test_deleting_an_owner_takes_its_jobs_along(store: Store, make) -> None:
    model = make.model()
    job = make.job(model)
    store.jobs.lease(job.id, [("gpu", 0)], REASON)
    store.models.delete(model.id)
    assert store.jobs.get(job.id) is None
    assert store.leases.all() == [] and store.jobs.history(job.id) == []


def test_deleting_a_user_takes_everything_of_theirs_along(store: Store, make) -> None:
    dataset = make.dataset()
    model = make.model(train_datasets=[dataset.id], eval_dataset=dataset.id)
    job = make.job(model)
    assert store.users.delete(make.user().id)
    assert store.jobs.get(job.id) is None and store.datasets.users_of(dataset.id) == []
