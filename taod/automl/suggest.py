"""Proposes the next point of a search with Optuna, and computes the importance of each parameter.

The answer depends only on the question, so that a restart repeats it. The daemon runs `python -m taod.automl.suggest`
as a helper process, which keeps Optuna and torch out of its memory and event loop. Optuna: Akiba et al., 2019,
https://arxiv.org/abs/1907.10902.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import msgspec

from taod.helper_process import serve
from taod.types.sweep import Dimension

if TYPE_CHECKING:
    import optuna

STARTUP = 4
"""Number of random points before the sampler uses its model of the metric."""


class ObservedTrial(msgspec.Struct, frozen=True):
    """A trial for the proposer."""

    number: int
    coordinates: dict[str, float]
    value: float | None = None
    """None: still running, or failed."""
    failed: bool = False
    memory: dict[str, Any] = {}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request for the next point, or (`importance`) for the importance of each parameter."""

    sampler: str
    space: list[Dimension]
    minimise: bool
    seen: list[ObservedTrial]
    seed: int
    importance: bool = False


class Answer(msgspec.Struct, frozen=True):
    """A point with the state of its sampler, or the importances."""

    coordinates: dict[str, float] = {}
    memory: dict[str, Any] = {}
    importances: dict[str, float] = {}
    note: str = ""
    """Why another sampler was used, if so."""


def answer(question: Question) -> Answer:
    """Answer a question. Deterministic."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if question.importance:
        return Answer(importances=_importances(question))
    sampler, note = _sampler(question)
    study = _study(question, sampler)
    trial = study.ask(_distributions(question.space))
    coordinates = {path: float(value) for path, value in trial.params.items()}
    memory = {k: v for k, v in study.get_trials(deepcopy=False)[-1].system_attrs.items() if k.startswith("cma")}
    return Answer(coordinates, memory, note=note)


def _distributions(space: list[Dimension]) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for each in space:
        if each.kind == "choice":
            found[each.path] = CategoricalDistribution(range(len(each.choices)))
        elif each.choices:
            found[each.path] = IntDistribution(0, len(each.choices) - 1)
        else:
            found[each.path] = FloatDistribution(0.0, 1.0)
    return found


def _study(question: Question, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    import optuna
    from optuna.trial import TrialState, create_trial

    study = optuna.create_study(sampler=sampler, direction="minimize" if question.minimise else "maximize")
    distributions = _distributions(question.space)
    for seen in question.seen:
        known = seen.coordinates.keys() == distributions.keys()
        state = TrialState.COMPLETE if seen.value is not None else TrialState.FAIL
        if seen.value is None and not seen.failed:
            state = TrialState.RUNNING
        study.add_trial(
            create_trial(
                state=state if known else TrialState.FAIL,
                value=seen.value if known else None,
                params={path: _param(distributions[path], seen.coordinates[path]) for path in distributions if known},
                distributions=distributions if known else {},
                system_attrs=seen.memory,
            )
        )
    return study


def _param(distribution: Any, at: float) -> float | int:
    import optuna

    return at if isinstance(distribution, optuna.distributions.FloatDistribution) else round(at)


def _sampler(question: Question) -> tuple[optuna.samplers.BaseSampler, str]:
    from optuna import samplers

    seed, name, note = question.seed, question.sampler, ""
    if name == "gp" and not _has("torch", "scipy"):
        name, note = "tpe", "the Gaussian process needs torch (taod[engine]); TPE proposes instead"
    numbers = [each for each in question.space if each.kind != "choice"]
    if name == "cmaes" and len(numbers) < 2:
        name, note = "tpe", "CMA-ES needs two numbers to search; TPE proposes instead"
    if name == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=False), note
    if name == "tpe":
        return _tpe(seed), note
    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False), note
    return samplers.RandomSampler(seed=seed), note


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)


def _has(*modules: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) is not None for module in modules)


def _importances(question: Question) -> dict[str, float]:
    """By fANOVA (Hutter et al., 2014) if scikit-learn is installed, else by PED-ANOVA (Watanabe et al., 2023)."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    study = _study(question, optuna.samplers.RandomSampler(seed=question.seed))
    values = {seen.value for seen in question.seen if seen.value is not None}
    if len(values) < 2:
        return {}
    evaluator: Any = FanovaImportanceEvaluator(seed=question.seed) if _has("sklearn") else PedAnovaImportanceEvaluator()
    found = get_param_importances(study, evaluator=evaluator)
    return {path: float(value) for path, value in found.items()}


def main() -> None:
    """Answer questions until the input ends."""
    decoder = msgspec.json.Decoder(Question)
    serve(lambda question: msgspec.json.encode(answer(decoder.decode(question))))


if __name__ == "__main__":
    main()
