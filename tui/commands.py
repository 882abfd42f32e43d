"""The command palette: the actions of the current page, read from its bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider


class Commands(Provider):
    """Offers the actions that are enabled now."""

    def _offers(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        """Name, help text and callback of each action."""
        seen: set[str] = set()
        for node in (self.focused, self.screen, self.app):
            for binding in bindings_of(node):
                if binding.action in seen or not (binding.tooltip or binding.description):
                    continue
                seen.add(binding.action)
                name, _, _ = binding.action.partition("(")
                if node is not None and "." not in name and node.check_action(name, ()) is not True:
                    continue
                key = binding.key_display or binding.key.split(",")[0].replace("question_mark", "?")
                yield named(binding), f"key: {key}", partial(self._run, binding.action, node)
        yield "Switch between the dark and the light theme", "", partial(self._run, "look", self.app)

    async def _run(self, action: str, node: Any) -> None:
        await self.app.run_action(action, default_namespace=node)

    async def discover(self) -> Hits:
        for name, help, call in self._offers():
            yield DiscoveryHit(name, call, help=help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, help, call in self._offers():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), call, help=help)


def named(binding: Binding) -> str:
    """Name in the palette: the label of the footer with the tooltip, so that both find it."""
    short, help = binding.description, binding.tooltip
    if not short or not help or help.lower().startswith(short.lower()):
        return help or short
    return f"{short}: {help[0].lower()}{help[1:]}"


def bindings_of(node: Any) -> Iterator[Binding]:
    """The bindings that a widget's or screen's classes of this dashboard declare."""
    if node is None:
        return
    for kind in type(node).__mro__:
        if kind.__module__.startswith("tui."):
            yield from (each for each in kind.__dict__.get("BINDINGS", ()) if isinstance(each, Binding))
