"""Which targets get a notification, where their addresses are, and that nothing of these is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taod.config import NotifyTargetConfig
from taod.errors import ConfigError
from taod.notify import targets
from taod.notify.sender import redacted
from taod.types.notification import NotifyEvent

HOOK = "https://a:topsecret@x.example/p/hidden?k=123456"
HIDDEN = ("topsecret", "hidden", "123456")


def target(**fields: Any) -> NotifyTargetConfig:
    return NotifyTargetConfig(fields.pop("name", "x"), **fields)


@pytest.mark.parametrize(
    ("fields", "event", "gets"),
    [
        ({}, NotifyEvent.DONE, True),
        ({"events": [NotifyEvent.FAILED]}, NotifyEvent.DONE, False),
        ({"events": [NotifyEvent.FAILED]}, NotifyEvent.FAILED, True),
        ({"users": ["ada", "bob"]}, NotifyEvent.DONE, True),
        ({"users": ["bob"]}, NotifyEvent.DONE, False),
        ({"networks": ["classification_*"]}, NotifyEvent.DONE, False),
        ({"networks": ["classification_*", "di?o"]}, NotifyEvent.DONE, True),
        ({"networks": ["dino"], "users": ["bob"]}, NotifyEvent.DONE, False),
    ],
)
def test_a_target_gets_its_events_users_and_networks(fields: dict[str, Any], event: NotifyEvent, gets: bool) -> None:
    assert targets.wanted([target(**fields)], event, user="ada", network="dino") == (["x"] if gets else [])


def test_the_disk_concerns_targets_of_some_users_and_networks_too() -> None:
    some = target(users=["ada"], networks=["dino"])
    assert targets.wanted([some], NotifyEvent.DISK_FULL) == ["x"]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"command": ["/usr/bin/notify-send"]}, "/usr/bin/notify-send"),
        ({"command": ["curl", "--user", "ada:topsecret"]}, "curl ***"),
        ({"webhook": "https://ada:topsecret@hooks.example.org:8443/a/hidden?x=123456"}, "https://hooks.example.org:8443/***"),
        ({"webhook": "https://[::1/topsecret"}, "https://***"),
        ({"webhook": "$HOOK"}, "$HOOK"),
        ({"apprise": "tgram://123456:topsecret/hidden"}, "tgram://***"),
        ({"apprise": "mailtos://ada:topsecret@example.org"}, "mailtos://***"),
        ({"apprise": "~/mail"}, "~/mail"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_secrets(fields: dict[str, Any], shown: str) -> None:
    assert targets.shown(target(**fields)) == shown
    printed = str(targets.masked(target(**fields)))
    assert not any(secret in printed for secret in HIDDEN)


def test_an_address_comes_from_the_configuration_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://example.org/topsecret\n")
    assert targets.address(target(webhook="https://a.example")) == "https://a.example"
    assert targets.address(target(webhook=str(tmp_path / "url"))) == "https://example.org/topsecret"
    assert targets.address(target(apprise="$MAIL"), {"MAIL": "mailto://x"}) == "mailto://x"
    assert targets.address(target(command=["~/run", "~"])) == [str(Path("~/run").expanduser()), "~"]


def test_a_missing_address_is_named_with_its_remedy_and_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("topsecret")
    for fields, said in (
        ({"webhook": "$HOOK"}, "webhook = '$HOOK': the daemon has no such variable; set it"),
        ({"apprise": f"{tmp_path}/none"}, "cannot be read: No such file"),
        ({"apprise": f"{tmp_path}/wrong"}, "does not hold a URL; write one there"),
        ({"apprise": "$MAIL"}, "does not hold a URL"),
    ):
        with pytest.raises(ConfigError) as raised:
            targets.address(target(name="phone", **fields), {"MAIL": "topsecret"})
        assert said in str(raised.value) and "phone" in str(raised.value)
        assert "topsecret" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "text", "shown"),
    [
        (HOOK, f"401 for {HOOK}", "401 for ***"),
        (HOOK, "no route to x.example: hidden, 123456", "no route to ***: ***, ***"),
        (
            "mailto://u:top%40secret@h?to=a@b.example",
            "login of u with top@secret failed\nto a@b.example",
            "login of u with *** failed to ***",
        ),
        (["run", "topsecret"], "run: topsecret is wrong", "run: *** is wrong"),
    ],
)
def test_an_error_has_no_part_of_the_address(address: Any, text: str, shown: str) -> None:
    assert redacted(text, address) == shown
