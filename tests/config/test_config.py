"""taod.toml: defaults, locations, precedence, and errors for invalid keys."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from taod.config import Config, find, load
from taod.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "taod.toml"


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current folder without any taod.toml except the test's own."""
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
    runner = defaults["runner"]
    for section in (runner, runner["docker"], runner["slurm"], defaults["supervision"]):
        assert section.pop("rule") == []  # shown as a comment: an empty array of tables cannot be written
    assert defaults["notify"].pop("target") == []
    assert shipped == defaults


def test_precedence_of_given_local_and_user_files(workdir: Path) -> None:
    write(workdir / "user-config" / "taod", "[server]\nport = 1\n")
    assert load(environ={}).server.port == 1
    write(workdir, "[server]\nport = 2\n")
    assert load(environ={}).server.port == 2
    given = write(workdir / "given", "[server]\nport = 3\n")
    assert load(given, environ={}).server.port == 3


def test_options_override_the_environment_which_overrides_the_file(workdir: Path) -> None:
    write(workdir, "[server]\nport = 2\n[devices]\nexclude = ['0']\n")
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
        (
            "[[runner.docker.rule]]\nnetwork = 'dino'\nsecrets = { HF_TOKEN = 'hf_12345678' }\n",
            "runner.docker.rule for dino *: secrets: HF_TOKEN = '***' is not where a value is; write the absolute path",
        ),
        (
            "[[runner.docker.rule]]\nenvironment = { A = '1' }\nsecrets = { A = '$A' }\n",
            "runner.docker.rule for * *: 'A' is in environment and in secrets; keep one of them",
        ),
        (
            "[[runner.docker.rule]]\nmounts = ['weights']\n",
            "runner.docker.rule for * *: mounts: 'weights' is not a mount; write it as '/folder'",
        ),
        ("[[runner.docker.rule]]\nnetwork_mode = ''\n", "network_mode is empty; write 'none', 'bridge', 'host'"),
        (
            "[[runner.slurm.rule]]\nsecrets = { '1' = '$A' }\n",
            "runner.slurm.rule for * *: secrets: '1' = '***' cannot be",
        ),
        ("[[runner.slurm.rule]]\nmounts = ['/a']\n", "unknown field `mounts`"),
        ("[[notify.target]]\nname = 'a b'\ncommand = ['x']\n", "notify.target 'a b': its name must have 1 to 64"),
        ("[[notify.target]]\nname = 'a'\n", "notify.target 'a' must have exactly one of command, webhook and apprise"),
        ("[[notify.target]]\nname = 'a'\ncommand = ['']\n", "notify.target 'a': its command cannot be run"),
        ("[[notify.target]]\nname = 'a'\nwebhook = 'secret'\n", "its webhook is not a URL; write one, the path of"),
        ("[[notify.target]]\nname = 'a'\nwebhook = 'ftp://x'\n", "its webhook is not a URL"),
        ("[[notify.target]]\nname = 'a'\ncommand = ['x']\nevents = ['ended']\n", "Invalid enum value 'ended'"),
        (
            "[[notify.target]]\nname = 'a'\ncommand = ['x']\n[[notify.target]]\nname = 'a'\napprise = '$X'\n",
            "notify.target 'a' is there twice; rename one of them",
        ),
    ],
)
def test_an_invalid_key_or_value_is_named_with_its_remedy(workdir: Path, text: str, said: str) -> None:
    file = write(workdir, text)
    with pytest.raises(ConfigError) as raised:
        load(environ={})
    assert said in str(raised.value)
    assert file.name in str(raised.value)


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="TAOD_SERVER_PORT: Expected `int`"):
        load(environ={"TAOD_SERVER_PORT": "many"})


def test_a_host_beyond_loopback_needs_allow_remote() -> None:
    with pytest.raises(ConfigError, match=r"server\.allow_remote = true"):
        load(environ={}, overrides={"server.host": "0.0.0.0"})
    meant = load(environ={}, overrides={"server.host": "0.0.0.0", "server.allow_remote": True})
    assert meant.server.host == "0.0.0.0"


def test_a_missing_given_file_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        load(Path("nowhere.toml"), environ={})


@pytest.mark.parametrize(
    ("line", "message"),
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
def test_an_invalid_run_variable_is_named_with_its_remedy(workdir: Path, line: str, message: str) -> None:
    write(workdir, f"[runner]\n{line}\n")
    with pytest.raises(ConfigError) as raised:
        load(environ={})
    assert message in str(raised.value)


def test_run_variables_can_be_set_in_the_file_and_the_environment(workdir: Path) -> None:
    write(workdir, "[runner]\ninherit = ['MY_*']\n[runner.environment]\nTELEMETRY_OPT_OUT = 'no'\n")
    runner = load(environ={}).runner
    assert (runner.inherit, runner.environment) == (["MY_*"], {"TELEMETRY_OPT_OUT": "no"})
    assert load(environ={"TAOD_RUNNER_INHERIT": '["PATH"]'}).runner.inherit == ["PATH"]


@pytest.mark.parametrize(
    ("address", "said"),
    [("/srv/mlruns", "is not an address"), ("https://ada:secret@h", "MLFLOW_TRACKING_PASSWORD")],
)
def test_addresses_are_checked_and_secrets_not_shown(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(environ={"TAOD_TRACKERS_MLFLOW": address})
    assert "secret" not in str(caught.value)
