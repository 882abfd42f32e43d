"""Regret of sweeps after each trial on standard functions: taod's proposers, random search, a plain Gaussian process
with the settings of the original service, and the proposers of two algorithms of newer services, written here from
their descriptions: differential evolution (DEHB) and a Gaussian process with an upper confidence bound (BFBO).

`OMP_NUM_THREADS=1 python bench/automl_regret.py --seeds 20 --plot docs/automl-regret.svg`
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from taod.automl.encoding import values
from taod.automl.suggest import ObservedTrial, Question, answer
from taod.types.sweep import Dimension

TRIALS = 20
Function = Callable[[dict[str, Any], random.Random], tuple[float, float]]
"""Values and noise → (observed value, true value); lower is better."""


def branin(at: dict[str, Any], _: random.Random) -> tuple[float, float]:
    """Branin: two parameters, three equal minima of 0.397887."""
    x, y = at["x"], at["y"]
    value = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    value += 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
    return value, value


def hartmann(at: dict[str, Any], _: random.Random) -> tuple[float, float]:
    """Hartmann6: six parameters, minimum -3.32237."""
    point = np.array([at[f"x{i}"] for i in range(6)])
    inside = np.sum(np.array(_A) * (point - 1e-4 * np.array(_P)) ** 2, axis=1)
    value = -float(np.sum(np.array([1.0, 1.2, 3.0, 3.2]) * np.exp(-inside)))
    return value, value


def network(at: dict[str, Any], noise: random.Random) -> tuple[float, float]:
    """A synthetic validation error of a convolutional network: a valley in learning rate and weight decay that depends
    on batch size and optimiser, with noise of standard deviation 0.01; minimum 0.05."""
    best = -3.0 if at["optimiser"] == "adam" else -1.2
    best += 0.3 * math.log2(at["batch"] / 32)
    rate = math.log10(at["lr"]) - best
    decay = math.log10(at["decay"]) + 3.5
    truth = 0.05 + 0.05 * rate**2 + (0.25 if rate > 1.2 else 0.0) + 0.01 * decay**2
    truth += 0.15 * (at["dropout"] - 0.25) ** 2 + {"adam": 0.0, "sgd": 0.004, "rmsprop": 0.03}[at["optimiser"]]
    truth += 0.002 * abs(math.log2(at["batch"] / 64)) + 0.04 * (at["momentum"] - 0.9) ** 2
    truth = min(truth, 0.9)
    return truth + noise.gauss(0.0, 0.01), truth


_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
_P = [
    [1312, 1696, 5569, 124, 8283, 5886],
    [2329, 4135, 8307, 3736, 1004, 9991],
    [2348, 1451, 3522, 2883, 3047, 6650],
    [4047, 8828, 8732, 5743, 1091, 381],
]


def number(path: str, low: float, high: float, *, log: bool = False) -> Dimension:
    return Dimension(path=path, kind="float", low=low, high=high, log=log)


PROBLEMS: dict[str, tuple[Function, list[Dimension], float]] = {
    "Branin": (branin, [number("x", -5, 10), number("y", 0, 15)], 0.397887),
    "Hartmann6": (hartmann, [number(f"x{i}", 0, 1) for i in range(6)], -3.32237),
    "noisy network": (
        network,
        [
            number("lr", 1e-5, 1.0, log=True),
            number("decay", 1e-6, 1e-1, log=True),
            number("dropout", 0.0, 0.8),
            number("momentum", 0.0, 1.0),
            Dimension(path="batch", kind="ordered", choices=[16, 32, 64, 128, 256]),
            Dimension(path="optimiser", kind="choice", choices=["sgd", "adam", "rmsprop"]),
        ],
        0.05,
    ),
}
SEARCHES = ("random", "plain GP", "DE", "GP-UCB", "tpe", "cmaes", "gp")
FIRST_RANDOM = 5
"""Trials of DE and GP-UCB that are drawn at random."""


def plain_gp(space: list[Dimension], seen: list[ObservedTrial], draw: random.Random) -> dict[str, float]:
    """The original service's proposer: constant × Matérn 2.5 with one length scale per parameter, alpha 1e-10, 10
    restarts; expected improvement (xi 0.01), maximised by L-BFGS-B from 5 starts. Only for floats; other parameters
    are drawn at random."""
    at_random = {d.path: float(draw.randrange(len(d.choices))) if d.choices else draw.random() for d in space}
    if not seen:
        return at_random
    from scipy.optimize import minimize  # type: ignore[import-untyped]
    from scipy.stats import norm  # type: ignore[import-untyped]
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    def row(coordinates: dict[str, float]) -> list[float]:
        return [coordinates[d.path] / (len(d.choices) - 1 if d.choices else 1) for d in space]

    x, y = np.array([row(one.coordinates) for one in seen]), -np.array([one.value for one in seen])
    kernel = ConstantKernel(1.0) * Matern(length_scale=np.ones(len(space)), nu=2.5)
    state = np.random.RandomState(draw.randrange(2**31))
    process = GaussianProcessRegressor(kernel, alpha=1e-10, n_restarts_optimizer=10, random_state=state)
    process.fit(x, y)
    most = y.max()

    def less(point: np.ndarray) -> float:
        mean, std = process.predict(point.reshape(1, -1), return_std=True)
        if std[0] <= 0:
            return 0.0
        gain = mean[0] - most - 0.01
        return -float(gain * norm.cdf(gain / std[0]) + std[0] * norm.pdf(gain / std[0]))

    starts = state.uniform(size=(5, len(space)))
    found = [minimize(less, start, bounds=[(0, 1)] * len(space), method="L-BFGS-B") for start in starts]
    point = min(found, key=lambda one: one.fun).x
    return {d.path: at_random[d.path] if d.choices else float(at) for d, at in zip(space, point, strict=True)}


def differential_evolution(space: list[Dimension], seen: list[ObservedTrial], draw: random.Random) -> dict[str, float]:
    """DE/rand/1/bin as in DEHB at full fidelity: F 0.5, CR 0.5, the population being the better half of all trials."""
    if len(seen) < FIRST_RANDOM:
        return {d.path: float(draw.randrange(len(d.choices))) if d.choices else draw.random() for d in space}
    ranked = sorted(seen, key=lambda one: math.inf if one.value is None else one.value)
    population = [one.coordinates for one in ranked[: max(4, len(ranked) // 2)]]
    target, base, one, other = draw.sample(population, 4)
    point: dict[str, float] = {}
    forced = draw.choice(space).path
    for d in space:
        top = float(len(d.choices) - 1) if d.choices else 1.0
        mutant = base[d.path] + 0.5 * (one[d.path] - other[d.path])
        if not 0.0 <= mutant <= top:
            mutant = draw.uniform(0.0, top)
        value = mutant if draw.random() < 0.5 or d.path == forced else target[d.path]
        point[d.path] = float(round(value)) if d.choices else value
    return point


def confidence_bound(space: list[Dimension], seen: list[ObservedTrial], draw: random.Random) -> dict[str, float]:
    """As BFBO: an RBF Gaussian process, a lower confidence bound whose exploration falls with the trials, and a penalty
    near known points; the best of 2,000 random points, polished by L-BFGS-B. Choices are rounded."""
    if len(seen) < FIRST_RANDOM:
        return {d.path: float(draw.randrange(len(d.choices))) if d.choices else draw.random() for d in space}
    from scipy.optimize import minimize
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    tops = [float(len(d.choices) - 1) if d.choices else 1.0 for d in space]
    x = np.array([[one.coordinates[d.path] / top for d, top in zip(space, tops, strict=True)] for one in seen])
    y = np.array([one.value for one in seen])
    kernel = ConstantKernel(1.0) * RBF(np.ones(len(space)), (1e-2, 1e2))
    state = np.random.RandomState(draw.randrange(2**31))
    process = GaussianProcessRegressor(kernel, alpha=1e-6, normalize_y=True, n_restarts_optimizer=2, random_state=state)
    process.fit(x, y)
    weight = 2.0 * math.sqrt(math.log(2 + len(seen))) / math.sqrt(1 + len(seen) / 10)

    def bound(points: np.ndarray) -> np.ndarray:
        mean, std = process.predict(np.atleast_2d(points), return_std=True)
        near = np.min(np.linalg.norm(np.atleast_2d(points)[:, None, :] - x[None], axis=2), axis=1)
        return np.asarray(mean - weight * std + 0.1 * float(y.std()) * np.exp(-((near / 0.05) ** 2)))

    drawn = state.uniform(size=(2000, len(space)))
    start = drawn[int(np.argmin(bound(drawn)))]
    found = minimize(lambda at: float(bound(at)[0]), start, bounds=[(0, 1)] * len(space), method="L-BFGS-B")
    point = found.x if found.fun <= float(bound(start)[0]) else start
    return {
        d.path: float(round(at * top)) if d.choices else float(at)
        for d, at, top in zip(space, point, tops, strict=True)
    }


OWN = {"plain GP": plain_gp, "DE": differential_evolution, "GP-UCB": confidence_bound}
"""Proposers that are only compared with."""


def run(job: tuple[str, str, int]) -> tuple[str, str, int, list[float], float]:
    """One sweep with one seed: the regret of its result after each trial, and seconds per proposal."""
    warnings.filterwarnings("ignore")
    problem, search, seed = job
    function, space, least = PROBLEMS[problem]
    draw, noise = random.Random(seed), random.Random(seed + 1)
    seen: list[ObservedTrial] = []
    truths: list[float] = []
    regret: list[float] = []
    spent = 0.0
    for trial in range(TRIALS):
        began = time.perf_counter()
        memory: dict[str, Any] = {}
        if search in OWN:
            at = OWN[search](space, seen, draw)
        else:
            question = Question(sampler=search, space=space, minimise=True, seen=seen, seed=seed * 1000 + trial)
            proposal = answer(question)
            at, memory = proposal.coordinates, proposal.memory
        spent += time.perf_counter() - began
        value, truth = function(values(space, at, {}), noise)
        seen.append(ObservedTrial(trial, at, value, memory=memory))
        truths.append(truth)
        # The result of a sweep is the trial with the best observed value.
        best = min(seen, key=lambda one: one.value if one.value is not None else math.inf)
        regret.append(max(truths[best.number] - least, 1e-6))
    return problem, search, seed, regret, spent / TRIALS


def plot(results: dict[str, dict[str, list[list[float]]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "taod"
    figure, axes = pyplot.subplots(1, len(results), figsize=(12, 3.8), constrained_layout=True)
    colours = dict(
        zip(SEARCHES, ("#999999", "#d95f02", "#a6761d", "#66a61e", "#7570b3", "#e7298a", "#1b9e77"), strict=True)
    )
    for axis, (problem, searches) in zip(axes, results.items(), strict=True):
        for search, runs in searches.items():
            curves = np.array(runs)
            low, middle, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
            steps = np.arange(1, len(middle) + 1)
            axis.plot(steps, middle, label=search, color=colours[search], lw=1.8)
            axis.fill_between(steps, low, high, color=colours[search], alpha=0.12, lw=0)
        axis.set(title=problem, yscale="log", xlabel="trials")
    axes[0].set_ylabel("regret: median, quartiles")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path, help="File that keeps the curves between calls.")
    options = parser.parse_args()
    results: dict[str, dict[str, list[list[float]]]] = {p: {s: [] for s in SEARCHES} for p in PROBLEMS}
    seconds: dict[str, list[float]] = {search: [] for search in SEARCHES}
    if options.json and options.json.exists():
        kept = json.loads(options.json.read_text())
        results, seconds = kept["regret"], kept["seconds"]
    done = len(results["noisy network"]["gp"])
    with ProcessPoolExecutor(options.jobs) as pool:
        for seed in range(done, options.seeds):
            # Seed by seed, so that an interrupted run has equally many of each.
            for problem, search, _, regret, each_s in pool.map(run, [(p, s, seed) for p in PROBLEMS for s in SEARCHES]):
                results[problem][search].append(regret)
                seconds[search].append(each_s)
            if options.json:
                options.json.write_text(json.dumps({"regret": results, "seconds": seconds}))
    print(f"median regret over {len(results['Branin']['gp'])} seeds after {TRIALS} trials (and after {TRIALS // 2})")
    for search in SEARCHES:
        cells = []
        for problem in PROBLEMS:
            curves = np.median(np.array(results[problem][search]), axis=0)
            cells.append(f"{problem} {curves[-1]:.4g} ({curves[TRIALS // 2 - 1]:.4g})")
        print(f"{search:10} {'; '.join(cells)}; {1000 * float(np.median(seconds[search])):.0f} ms per proposal")
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
