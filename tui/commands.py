"""The command palette: everything that a key does on the page in front, and what has no key. Made from the bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider


class Everything(Provider):
    """Offers what can be done now: an action that the page greys out is left out."""

    def _offers(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        """Name, help, and what to call."""
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
        yield "Change between the dark and the light look", "", partial(self._run, "look", self.app)

    async def _run(self, action: str, node: Any) -> None:
        await self.app.run_action(action, default_namespace=node)

    async def discover(self) -> Hits:
        for name, told, call in self._offers():
            yield DiscoveryHit(name, call, help=told)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, told, call in self._offers():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), call, help=told)


def named(binding: Binding) -> str:
    """What the palette calls it, so that the short name of the line of keys and the words of the help both find it."""
    short, told = binding.description, binding.tooltip
    if not short or not told or told.lower().startswith(short.lower()):
        return told or short
    return f"{short}: {told[0].lower()}{told[1:]}"


def bindings_of(node: Any) -> Iterator[Binding]:
    """The bindings that a widget's or screen's classes of this dashboard declare."""
    if node is None:
        return
    for kind in type(node).__mro__:
        if kind.__module__.startswith("tui."):
            yield from (each for each in kind.__dict__.get("BINDINGS", ()) if isinstance(each, Binding))
