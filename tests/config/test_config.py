"""taod.toml: defaults, where it is found, what overrides it, and what a wrong key is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from taod.config import Config, find, load
from taod.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "taod.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Away from any taod.toml but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user-config"))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "taod.toml"
    file.write_text(text)
    return file


def test_without_a_file_everything_has_a_default() -> None:
    assert find() is None
    assert load(environ={}) == Config()


def test_the_shipped_file_names_every_key_at_its_default() -> None:
    shipped = tomllib.loads(SHIPPED.read_text())
    defaults = msgspec.to_builtins(Config())
    for section in (defaults["runner"], defaults["runner"]["slurm"], defaults["supervision"]):
        assert section.pop("rule") == []  # shown as a comment: an empty array of tables cannot be written
    assert shipped == defaults


def test_the_file_here_comes_before_the_user_s_and_the_given_one_before_both(elsewhere: Path) -> None:
    write(elsewhere / "user-config" / "taod", "[server]\nport = 1\n")
    assert load(environ={}).server.port == 1
    write(elsewhere, "[server]\nport = 2\n")
    assert load(environ={}).server.port == 2
    given = write(elsewhere / "given", "[server]\nport = 3\n")
    assert load(given, environ={}).server.port == 3


def test_environment_beats_the_file_and_options_beat_the_environment(elsewhere: Path) -> None:
    write(elsewhere, "[server]\nport = 2\n[devices]\nexclude = ['0']\n")
    environ = {"TAOD_SERVER_PORT": "4", "TAOD_DEVICES_EXCLUDE": "['1', '2']", "TAOD_ROOT": "/somewhere"}
    config = load(environ=environ)
    assert (config.server.port, config.devices.exclude, config.root) == (4, ["1", "2"], Path("/somewhere"))
    config = load(environ=environ, overrides={"server.port": 5, "storage.root": "/else", "server.host": None})
    assert (config.server.port, config.root) == (5, Path("/else"))


def test_a_string_in_the_environment_needs_no_quotes() -> None:
    assert load(environ={"TAOD_SERVER_HOST": "localhost"}).server.host == "localhost"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1\n", "unknown key server.prot; did you mean server.port?"),
        ("[scheduler]\ngrace = 1\n", "unknown key scheduler.grace; did you mean scheduler.grace_s?"),
        ("[severs]\nport = 1\n", "unknown key severs; did you mean server?"),
        ("[runner.native]\nzzz = 1\n", "unknown key runner.native.zzz; known here: path, venv"),
        ("[server]\nport = 'x'\n", "Expected `int`, got `str` - at `$.server.port`"),
        ("[server]\nport = 70000\n", "Expected `int` <= 65535 - at `$.server.port`"),
        ("[server\n", "taod.toml"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_remedy(elsewhere: Path, text: str, said: str) -> None:
    file = write(elsewhere, text)
    with pytest.raises(ConfigError) as told:
        load(environ={})
    assert said in str(told.value)
    assert file.name in str(told.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="TAOD_SERVER_PORT: Expected `int`"):
        load(environ={"TAOD_SERVER_PORT": "many"})


def test_a_host_beyond_loopback_needs_to_be_meant() -> None:
    with pytest.raises(ConfigError, match=r"server\.allow_remote = true"):
        load(environ={}, overrides={"server.host": "0.0.0.0"})
    meant = load(environ={}, overrides={"server.host": "0.0.0.0", "server.allow_remote": True})
    assert meant.server.host == "0.0.0.0"


def test_a_given_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        load(Path("nowhere.toml"), environ={})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("inherit = ['MY *']", "runner.inherit: 'MY *' is no variable's name; write it as 'NAME', or 'PREFIX_*'"),
        ("inherit = ['TAOD_ROOT']", "runner.inherit: 'TAOD_ROOT' is taod's own"),
        ("environment = {'A-B' = '1'}", "runner.environment: 'A-B' = '1' cannot be a variable"),
        (
            "environment = {CUDA_VISIBLE_DEVICES = '0'}",
            "'CUDA_VISIBLE_DEVICES' is set by taod for each run; leave it out",
        ),
    ],
)
def test_a_wrong_variable_of_runs_is_named_with_its_remedy(elsewhere: Path, line: str, told: str) -> None:
    write(elsewhere, f"[runner]\n{line}\n")
    with pytest.raises(ConfigError) as raised:
        load(environ={})
    assert told in str(raised.value)


def test_the_variables_of_runs_can_be_set_in_the_file_and_the_environment(elsewhere: Path) -> None:
    write(elsewhere, "[runner]\ninherit = ['MY_*']\n[runner.environment]\nTELEMETRY_OPT_OUT = 'no'\n")
    runner = load(environ={}).runner
    assert (runner.inherit, runner.environment) == (["MY_*"], {"TELEMETRY_OPT_OUT": "no"})
    assert load(environ={"TAOD_RUNNER_INHERIT": '["PATH"]'}).runner.inherit == ["PATH"]
