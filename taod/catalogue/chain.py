"""Which action may follow which, and how one request's actions hang together. Pure."""

from __future__ import annotations

_TRAINED = ("train", "prune", "retrain")
_FOLLOWS: dict[str, tuple[str, ...]] = {
    "evaluate": (*_TRAINED, "export", "gen_trt_engine", "trtexec"),
    "inference": (*_TRAINED, "export", "gen_trt_engine", "trtexec"),
    "inference_seq": (*_TRAINED, "export"),
    "inference_trt": (*_TRAINED, "export"),
    "prune": ("train", "retrain"),
    "retrain": ("train", "prune"),
    "export": _TRAINED,
    "calibration_tensorfile": _TRAINED,
    "gen_trt_engine": ("export",),
    "trtexec": ("export",),
    "confmat": _TRAINED,
    "convert": ("augment",),
    "convert_and_index": ("augment",),
    "convert_efficientdet_tf1": ("augment",),
    "convert_efficientdet_tf2": ("augment",),
}
_NEEDY = frozenset({"prune", "retrain", "export", "calibration_tensorfile", "gen_trt_engine", "trtexec"})

GIVEN = -1
"""Stands for the given job in what `resolve` returns."""


class ChainError(ValueError):
    """An action that the network lacks, or one that nothing in the request can be the parent of."""


def may_follow(action: str) -> list[str]:
    """The actions that `action` may have as its parent; empty where it takes none."""
    return list(_FOLLOWS.get(action, ()))


def needs_parent(action: str) -> bool:
    """Whether `action` cannot run without a finished parent."""
    return action in _NEEDY


def resolve(network: str, actions: list[str], parent_action: str | None) -> list[int | None]:
    """For each action of one request the index of its parent in the list, GIVEN for the given job, or None.

    An action takes the nearest earlier one that it may follow, and the given job (whose action is `parent_action`)
    where there is none. Raises ChainError with a sentence where one needs a parent and has none.
    """
    parents: list[int | None] = []
    for place, action in enumerate(actions):
        allowed = may_follow(action)
        earlier = next((i for i in range(place - 1, -1, -1) if actions[i] in allowed), None)
        if earlier is not None:
            parents.append(earlier)
        elif parent_action in allowed:
            parents.append(GIVEN)
        elif needs_parent(action):
            raise ChainError(_no_parent(network, action, allowed, parent_action))
        else:
            parents.append(None)
    if parent_action is not None and actions and GIVEN not in parents:
        raise ChainError(_cannot_follow(network, actions[0], parent_action))
    return parents


def _no_parent(network: str, action: str, allowed: list[str], parent_action: str | None) -> str:
    given = f"the given job is {_one(parent_action)} job" if parent_action else "no job is given"
    return (
        f"{network} {action} needs a finished {_either(allowed)} job to work on, and {given}: "
        f"name such a job, or put {_either(allowed)} before {action} in the list of actions"
    )


def _cannot_follow(network: str, action: str, parent_action: str) -> str:
    allowed = may_follow(action)
    rule = f"it may follow {_either(allowed)}" if allowed else "it takes no parent"
    return f"{network} {action} cannot follow {_one(parent_action)} job: {rule}"


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _one(action: str) -> str:
    return f"{'an' if action[0] in 'aeiou' else 'a'} {action}"
