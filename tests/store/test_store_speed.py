"""Pages of 10,000 rows: how many instructions SQLite executes for them, and that indices carry them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import Store
from store.page import ORDER
from store.records import JobFilter, ResourceFilter
from taod.types.common import JobSort, Sort
from taod.types.job import Kpi, Result
from taod.types.state import State

pytestmark = pytest.mark.slow(seconds=1)

ROWS = 10_000
STEP = 100
LIMIT = 15 * ROWS
"""Instructions of SQLite's virtual machine; a page whose rows are not filtered in an index executes more."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(Path(tmp_path_factory.mktemp("full")) / "taod.db")
    yield store
    store.close()


@pytest.fixture
def store(full: Store) -> Store:
    return full


@pytest.fixture
def user_id(full: Store, make) -> str:
    """A user with 10,000 datasets, of which the newest 1,000 have ten jobs each; made once."""
    user = make.user()
    if full.datasets.list(user.id, size=0)[1] == 0:
        with full.transaction():
            sets = [make.dataset(f"Data {number % 977}") for number in range(ROWS)]
            result = Result(kpi=[Kpi("loss", {str(epoch): 1.0 / (epoch + 1) for epoch in range(30)})], epoch=30)
            for dataset in sets[-1_000:]:
                for job in full.jobs.add([make.new_job(dataset, spec={"a": 1}) for _ in range(10)]):
                    full.jobs.save_result(job.id, result)
    return user.id


def instructions(store: Store, action: Callable[[], object]) -> int:
    """How many instructions SQLite executes for the action, in steps of 100."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._database.connection.set_progress_handler(count, STEP)
    action()
    store._database.connection.set_progress_handler(None, 0)
    return steps * STEP


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("name", [None, "data 97", "in none of them"])
def test_a_filtered_page_of_datasets(full: Store, user_id: str, sort: Sort, name: str | None) -> None:
    wanted = ResourceFilter(name=name)
    assert instructions(full, lambda: full.datasets.list(user_id, wanted, sort, 0, 20)) < LIMIT


def test_a_page_with_ten_jobs_each(full: Store, user_id: str) -> None:
    page, total = full.datasets.list(user_id, size=20)
    jobs = full.jobs.public("dataset", [dataset.id for dataset in page])
    assert total == ROWS and {len(found) for found in jobs.values()} == {10}
    assert instructions(full, lambda: full.jobs.public("dataset", [dataset.id for dataset in page])) < ROWS


@pytest.mark.parametrize("text", [None, "data 5", "in none of them"])
def test_a_searched_page_of_jobs(full: Store, user_id: str, text: str | None) -> None:
    wanted = JobFilter(user_id=user_id, text=text)
    assert instructions(full, lambda: full.jobs.list(wanted, JobSort.DATE_DESCENDING, 0, 20)) < LIMIT


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM datasets WHERE user_id = 'u' AND type = 't' AND instr(name_key, 'n')",
        "SELECT count(*) FROM models WHERE user_id IS NOT NULL AND (user_id = 'u' OR public) AND instr(name_key, 'n') "
        "AND dataset_type = 't' AND network_arch = 'a' AND read_only = 0",
        "SELECT count(*) FROM jobs WHERE user_id = 'u' AND action = 'a' AND network = 'n' AND state IN ('x', 'y') "
        "AND instr(search_key, 't')",
    ],
)
def test_a_count_reads_an_index_alone(full: Store, statement: str) -> None:
    assert "COVERING INDEX" in str(full._database.rows(f"EXPLAIN QUERY PLAN {statement}"))


def test_counts_by_state_alone_are_not_counted(full: Store, user_id: str) -> None:
    seen: list[str] = []
    full._database.connection.set_trace_callback(seen.append)
    full.jobs.counts(JobFilter(user_id=user_id))
    full.jobs.list(JobFilter(user_id=user_id, states=frozenset({State.QUEUED})), size=0)
    full._database.connection.set_trace_callback(None)
    assert seen and not [statement for statement in seen if "count(*)" in statement]


def test_an_owners_jobs_come_sorted_from_an_index(full: Store) -> None:
    seen: list[str] = []
    full._database.connection.set_trace_callback(seen.append)
    full.jobs.public("model", ["one", "other"])
    full.jobs.public_page("model", "one")
    full._database.connection.set_trace_callback(None)
    assert len(seen) == 4
    for statement in seen:
        # The progress stands in where there is no result: the one column that the index does not hold.
        plan = str(full._database.rows(f"EXPLAIN QUERY PLAN {statement.replace('jobs.progress', 'NULL')}"))
        assert "jobs USING COVERING INDEX jobs_of_owner" in plan and "TEMP B-TREE" not in plan


PAGED = [
    *itertools.product(["datasets WHERE user_id = 'u'", "models WHERE user_id IS NOT NULL"], Sort),
    *itertools.product(["jobs WHERE user_id = 'u'"], JobSort),
]


@pytest.mark.parametrize(("table", "sort"), PAGED)
def test_no_page_is_sorted_on_the_way(full: Store, table: str, sort: Sort | JobSort) -> None:
    plan = full._database.rows(f"EXPLAIN QUERY PLAN SELECT * FROM {table} ORDER BY {ORDER[sort]} LIMIT 20")
    assert "TEMP B-TREE" not in str(plan)
