"""What in a configuration could run code is used only where the command line names the game."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import gymnasium
import pytest

from adamas.core.errors import UserError
from adamas.envs import make_env, trust
from adamas.envs.config import GymnasiumConfig, VizdoomConfig
from adamas.envs.rewind import make_branching
from adamas.presets import PRESETS, preset

MODULE = "adamas_theirs"
GAME = f"{MODULE}:Theirs-v0"


@pytest.fixture(autouse=True)
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a stranger's in the path, which leaves a file when it is imported, and nobody is trusted."""
    (tmp_path / f"{MODULE}.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('imported').touch()\nraise SystemError('mine')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trust, "_named", set())
    return tmp_path / "imported"


@pytest.mark.parametrize("make", [lambda config: make_env(config, 1, 0, training=True), make_branching])
def test_a_module_is_imported_only_when_the_command_line_names_it(make: object, theirs: Path) -> None:
    config = GymnasiumConfig(game=GAME)
    with pytest.raises(UserError) as refused:
        make(config)  # type: ignore[operator]
    assert str(refused.value) == (
        f"the game {GAME} imports the module {MODULE}, which can run code, and its name comes from a file; if you "
        f"trust it, add: --env.game {GAME}"
    )
    assert not theirs.exists()
    trust.trust_named(["evaluate", "RUN", "--env.game", GAME])
    with pytest.raises(
        UserError, match=rf"^{GAME}: gymnasium.make\(\) raised SystemError: mine \(.*{MODULE}.py, line 3"
    ):
        make(config)  # type: ignore[operator]
    assert theirs.exists()


@pytest.mark.parametrize(
    ("arguments", "trusted"),
    [
        (["train", "debug", "--env.game", GAME, "--seed", "1"], True),
        (["train", "debug", f"--env.game={GAME}"], True),
        (["train", "debug", f"--env.game={GAME}x"], False),
        (["evaluate", GAME], False),
        (["evaluate", "--env.game"], False),
        (["evaluate", "RUN", "--env.gamer", GAME], False),
        (["evaluate", "RUN", "--env.suite", GAME], False),
    ],
)
def test_what_counts_as_named(arguments: list[str], trusted: bool) -> None:
    trust.trust_named(arguments)
    if trusted:
        return trust.check_trusted(GymnasiumConfig(game=GAME))
    with pytest.raises(UserError, match="imports the module"):
        trust.check_trusted(GymnasiumConfig(game=GAME))


def test_a_module_that_is_there_already_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, ModuleType(MODULE))
    with pytest.raises(UserError, match="unknown Gymnasium id"):
        make_env(GymnasiumConfig(game=GAME), 1, 0, training=True)
    with pytest.raises(UserError, match=rf"imports the module {MODULE}\.sub,"):
        make_env(GymnasiumConfig(game=f"{MODULE}.sub:Theirs-v0"), 1, 0, training=True)


@pytest.mark.parametrize("game", [":X-v0", "a:b:c", ".relative:X-v0", "a b:X-v0"])
def test_names_that_are_no_modules(game: str) -> None:
    with pytest.raises(UserError, match="imports the module"):
        make_env(GymnasiumConfig(game=game), 1, 0, training=True)
    trust.trust(game)
    with pytest.raises(UserError, match=r"make\(\) raised|cannot be made"):
        make_env(GymnasiumConfig(game=game), 1, 0, training=True)


def test_what_is_to_be_typed_is_one_word_for_the_shell() -> None:
    with pytest.raises(UserError, match=r"add: --env.game 'x:y; rm -r \$HOME'$"):
        trust.check_trusted(GymnasiumConfig(game="x:y; rm -r $HOME"))


@pytest.mark.parametrize(
    ("kwargs", "safe"),
    [
        ('{"a": 1, "b": [true, null, 2.5], "c": {"d": 0}}', True),
        ('{"a": "text"}', False),
        ('{"a": [[{"b": "text"}]]}', False),
    ],
)
def test_text_among_keyword_arguments_needs_trust(kwargs: str, safe: bool) -> None:
    config = GymnasiumConfig(game="CartPole-v1", kwargs=kwargs)
    if not safe:
        with pytest.raises(
            UserError, match=r"CartPole-v1 takes text as keyword arguments .*add: --env.game CartPole-v1$"
        ):
            trust.check_trusted(config)
        trust.trust("CartPole-v1")
    trust.check_trusted(config)


def test_the_presets_name_modules_of_ours_alone() -> None:
    games = [game for name in PRESETS if (game := preset(name).env) is not None]
    assert {game.game.partition(":")[0] for game in games if ":" in game.game} == trust.OURS
    for game in games:
        trust.check_trusted(game)


def test_a_configuration_file_of_vizdoom_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.cfg"
    with pytest.raises(
        UserError, match=rf"{file} is a configuration file of ViZDoom, .* add: --env.game {file}"
    ):
        make_env(VizdoomConfig(game=str(file)), 1, 0, training=True)


def test_the_registry_is_not_changed_by_what_is_refused() -> None:
    before = set(gymnasium.registry)
    with pytest.raises(UserError):
        make_env(GymnasiumConfig(game=GAME), 1, 0, training=True)
    assert set(gymnasium.registry) == before
