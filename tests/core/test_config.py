"""Configurations survive the round trip, and every mistake is refused with a message that names it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.core.config import (
    ABSENT,
    check_numbers,
    diff,
    from_dict,
    load_config,
    read_run_values,
    save_config,
    to_dict,
)
from adamas.core.errors import UserError


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = None


@dataclass(frozen=True)
class Model:
    channels: tuple[int, ...] = (64, 64)
    kind: Literal["edm", "ddpm"] = "edm"
    optim: Optim = field(default_factory=Optim)
    fallback: Optim | None = None

    def __post_init__(self) -> None:
        if not self.channels:
            raise UserError("model.channels is empty; give at least one width")


@dataclass(frozen=True)
class Run:
    name: str
    seed: int = 0
    compile: bool = False
    model: Model = field(default_factory=Model)
    parts: tuple[Optim, ...] = ()


floats = st.floats(allow_nan=False)
optims = st.builds(Optim, floats, st.tuples(floats, floats), st.none() | floats)
models = st.builds(
    Model,
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1).map(tuple),
    st.sampled_from(["edm", "ddpm"]),
    optims,
    st.none() | optims,
)
# Text that YAML 1.1 would read as something else if it were not quoted.
tricky = st.sampled_from(["no", "1e-4", "0x10", "12:30", "null", "", "~", "# not a comment", "a: b", "é\n "])
runs = st.builds(
    Run,
    st.text() | tricky,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    models,
    st.lists(optims, max_size=3).map(tuple),
)


@given(runs)
@settings(max_examples=60, deadline=None)
def test_round_trip_through_yaml(tmp_path_factory: pytest.TempPathFactory, run: Run) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    save_config(path, run)
    assert load_config(path, Run) == run
    assert from_dict(Run, to_dict(run)) == run


def test_to_dict_is_plain() -> None:
    expected = {
        "channels": [64, 64],
        "kind": "edm",
        "optim": {"lr": 1e-4, "betas": [0.9, 0.999], "clip": None},
        "fallback": None,
    }
    assert to_dict(Model()) == expected


def test_to_dict_refuses_what_yaml_cannot_hold() -> None:
    with pytest.raises(TypeError, match="cannot be part of a configuration"):
        to_dict(Optim(lr=object()))  # type: ignore[arg-type]


def test_left_out_keys_take_their_defaults() -> None:
    assert from_dict(Run, {"name": "a", "model": {"kind": "ddpm"}}) == Run("a", model=Model(kind="ddpm"))


def test_int_becomes_float_and_list_becomes_tuple() -> None:
    optim = from_dict(Optim, {"lr": 1, "betas": [0, 1]})
    assert optim == Optim(1.0, (0.0, 1.0))
    assert type(optim.lr) is float and type(optim.betas[0]) is float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a", "sed": 1}, "unknown configuration key 'sed'; did you mean 'seed'?"),
        ({"name": "a", "model": {"optim": {"lrr": 1}}}, "key 'model.optim.lrr'; did you mean 'lr'?"),
        ({"name": "a", 7: 1}, "unknown configuration key '7'; valid: compile, model, name, parts, seed"),
        ({}, "key 'name' is missing and has no default"),
        ({"name": 3}, "key 'name' must be str, got 3 (int)"),
        ({"name": "a", "seed": 3.5}, "key 'seed' must be int, got 3.5 (float)"),
        ({"name": "a", "seed": 3.0}, "key 'seed' must be int, got 3.0 (float)"),
        ({"name": "a", "seed": True}, "key 'seed' must be int, got True (bool)"),
        ({"name": "a", "seed": None}, "key 'seed' must be int, got None"),
        ({"name": "a", "compile": 1}, "key 'compile' must be bool, got 1 (int)"),
        ({"name": "a", "compile": "yes"}, "key 'compile' must be bool, got 'yes' (str)"),
        ({"name": "a", "model": 3}, "key 'model' must be a mapping (key: value), got 3 (int)"),
        ({"name": "a", "model": {"kind": "eddm"}}, "'model.kind' cannot be 'eddm'; did you mean 'edm'?"),
        ({"name": "a", "model": {"channels": 64}}, "'model.channels' must be a list, got 64 (int)"),
        ({"name": "a", "model": {"channels": [1, "b"]}}, "'model.channels[1]' must be int, got 'b' (str)"),
        ({"name": "a", "model": {"channels": []}}, "model.channels is empty; give at least one width"),
        ({"name": "a", "model": {"optim": {"lr": "a"}}}, "'model.optim.lr' must be float, got 'a' (str)"),
        ({"name": "a", "model": {"optim": {"lr": True}}}, "'model.optim.lr' must be float, got True"),
        ({"name": "a", "model": {"optim": {"lr": 2**53 + 1}}}, "must be float, got 9007199254740993"),
        ({"name": "a", "model": {"optim": {"clip": "a"}}}, "'model.optim.clip' must be float, got 'a'"),
        ({"name": "a", "model": {"optim": {"betas": [1]}}}, "'model.optim.betas' must be a list of 2 values"),
        ({"name": "a", "parts": [{}, {"x": 1}]}, "unknown configuration key 'parts[1].x'"),
        (None, "the configuration must be a mapping (key: value), got None"),
    ],
)
def test_mistakes_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_dict(Run, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choices_are_compared_with_their_type() -> None:
    @dataclass(frozen=True)
    class Blocks:
        depth: Literal[1, 2] = 1

    assert from_dict(Blocks, {"depth": 2}) == Blocks(2)
    with pytest.raises(UserError, match="'depth' cannot be True; valid: 1, 2"):
        from_dict(Blocks, {"depth": True})


def test_unsupported_annotations_are_a_programming_error() -> None:
    @dataclass(frozen=True)
    class Odd:
        table: dict[str, int] = field(default_factory=dict)

    with pytest.raises(TypeError, match=r"'table' has the unsupported type dict\[str, int\]"):
        from_dict(Odd, {"table": {}})


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.e-4", "1.0e-4", "0.0001", "+1e-4"])
def test_every_common_spelling_of_a_float_in_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"lr: {text}\n")
    assert load_config(path, Optim).lr == 1e-4


def test_broken_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("lr: 0.1\nclip: 1.0\nbetas: [0.9, 0.99\n")
    with pytest.raises(UserError, match=r"config\.yaml, line 4: not valid YAML"):
        load_config(path, Optim)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr: fast\n", "config.yaml: configuration key 'lr' must be float, got 'fast' (str)"),
        (b"", "config.yaml: the configuration must be a mapping"),
        (b"lr: \xff\xff\n", "config.yaml: not a text file"),
        (b"lr: !!python/object/apply:os.getcwd []\n", "config.yaml, line 1: not valid YAML"),
        (b"lr: 2001-99-99\n", "config.yaml: not valid YAML: month must be in 1..12"),
        (b"lr: !!int foo\n", "config.yaml: not valid YAML: invalid literal for int()"),
        (b"lr: !!float foo\n", "config.yaml: not valid YAML: could not convert string to float"),
        (b"lr: !!bool foo\n", "config.yaml: not valid YAML: 'foo'"),
        (b"lr: !!timestamp foo\n", "config.yaml: not valid YAML: "),
        (b"lr: " + 5000 * b"9", "config.yaml: not valid YAML: Exceeds the limit"),
        (b"lr: 0x" + 5000 * b"f", "'lr' must be float, got a huge whole number (int)"),
        (b"? 0x" + 5000 * b"f" + b"\n: 1", "unknown configuration key 'a huge whole number'"),
        (b"lr: " + 3000 * b"[", "its brackets are nested too deep"),
        (b"lr: .nan\n", "`lr` is nan, which is no number"),
        (2**21 * b"#", "has 2,097,152 bytes, too many for a configuration"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_config(path, Optim)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_references_to_references_are_not_written_out(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]" for i in range(1, 30)]  # 9^30 times x
    path.write_text("\n".join([*lines, "lr: *a29", "clip: *a29", "? &x"]))
    with pytest.raises(UserError, match="unknown configuration key 'a0'"):
        load_config(path, Optim)
    path.write_text("lr: !!seq\n- &a [x, x]\n- [*a, *a]\n")
    with pytest.raises(UserError, match=r"'lr' must be float, got \[\['x', 'x'\]"):
        load_config(path, Optim)


def test_long_values_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"lr: {9999 * 'x'}\n")
    with pytest.raises(UserError) as caught:
        load_config(path, Optim)
    assert len(str(caught.value).removeprefix(str(path))) < 200


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    for path, reason in (
        (tmp_path / "config.yaml", "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UserError, match=rf"cannot read {path}: {reason}; check the path"):
            load_config(path, Optim)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_line_breaks_of_other_alphabets_survive(character: str, tmp_path: Path) -> None:
    save_config(tmp_path / "config.yaml", Run(f"a{character}b"))
    assert load_config(tmp_path / "config.yaml", Run).name == f"a{character}b"


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (Run("a", seed=2**63), "`seed` is a huge whole number; it must be below 9223372036854775808"),
        (Run("a", model=Model(channels=(8, 2**31))), r"`model.channels[1]` is 2147483648; it must be below"),
        (Run("a", model=Model(channels=(-(2**31) - 1,))), r"`model.channels[0]` is -2147483649; it"),
        (Run("a", model=Model(optim=Optim(lr=float("nan")))), "`model.optim.lr` is nan, which is no number"),
        (Run("a", parts=(Optim(betas=(0.0, float("nan"))),)), "`parts[0].betas[1]` is nan"),
    ],
)
def test_numbers_that_nothing_can_mean(run: Run, message: str) -> None:
    for refuse in (check_numbers, lambda run: from_dict(Run, to_dict(run))):
        with pytest.raises(UserError) as caught:
            refuse(run)
        assert message in str(caught.value)
    check_numbers(Run("a", 2**63 - 1, model=Model((2**31 - 1, -(2**31)), optim=Optim(float("inf")))))


def test_paths_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "config.yaml"
    with pytest.raises(UserError, match=r"cannot read .*config\.yaml: No such file"):
        load_config(path, Optim)
    with pytest.raises(UserError, match=r"cannot write .*config\.yaml: No such file"):
        save_config(path, Optim())


def test_diff_names_the_dotted_keys() -> None:
    old = Run("a", seed=1)
    new = replace(old, seed=2, model=Model(optim=Optim(lr=0.1), channels=(32,), fallback=Optim()))
    expected = {
        "seed": (1, 2),
        "model.channels": ([64, 64], [32]),
        "model.optim.lr": (1e-4, 0.1),
        "model.fallback": (None, to_dict(Optim())),
    }
    assert diff(old, new) == expected
    assert diff(to_dict(old), new) == expected


def test_diff_shows_keys_that_one_side_lacks() -> None:
    assert diff({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == {
        "a": (1, ABSENT),
        "b.c": (2, ABSENT),
        "b.d": (ABSENT, 3),
    }


@given(runs)
@settings(max_examples=30, deadline=None)
def test_diff_of_equal_configurations_is_empty(run: Run) -> None:
    assert diff(run, from_dict(Run, to_dict(run))) == {}


def test_the_values_of_a_run_are_those_of_its_checkpoint(tmp_path: Path) -> None:
    for text in ("seed: 3", "agent: {lr: 1}\nrun: {seed: 3}"):
        (tmp_path / "config.yaml").write_text(text)
        assert read_run_values(tmp_path / "config.yaml") == {"seed": 3}
