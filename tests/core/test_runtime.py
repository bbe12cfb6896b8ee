"""Which precision and which order in memory each device gets, and what is compiled."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.arguments import parse
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.core.runtime import RuntimeConfig
from adamas.nn.blocks import GroupNorm
from adamas.presets import preset
from adamas.world_models.diamond.world import Diamond
from tests.helpers.batches import frames_alone
from tests.helpers.diamond import model_config
from tests.helpers.runtimes import CPU, CUDA, use


def test_bf16_is_the_choice_of_cpus_that_multiply_it_for_large_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for able, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        large, small = (3, 32, 32), (3, 31, 32)
        assert runtime.choose_precision("auto", CPU, large) == chosen
        assert runtime.choose_precision("auto", CPU, small) == "fp32"
        assert runtime.choose_precision("bf16", CPU, small) == "bf16"
        assert runtime.choose_precision("auto", CUDA, large) == "tf32"
        assert runtime.choose_precision("auto", torch.device("mps"), large) == "fp32"
        assert runtime.choose_precision("fp32", CPU, large) == "fp32"


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set up, is so for CUDA; nothing is computed there."""
    monkeypatch.setattr(runtime, "choose_device", lambda name, field: CUDA)


@pytest.mark.usefixtures("on_cuda")
def test_a_gpu_multiplies_in_tf32_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "has_triton", lambda: True)
    for precision, tf32 in (("auto", True), ("fp32", False), ("tf32", True), ("bf16", False)):
        runtime.setup(RuntimeConfig(allocator="default", precision=precision))  # type: ignore[arg-type]
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        assert (runtime._mode.dtype is torch.bfloat16) == (precision == "bf16")


@pytest.mark.parametrize(
    ("name", "device", "last"),
    [
        ("auto", "cpu", True),
        ("auto", "meta", False),  # as any device that is not a CPU
        ("channels_last", "cpu", True),
        ("channels_last", "meta", True),
        ("contiguous", "cpu", False),
        ("contiguous", "meta", False),
    ],
)
def test_images_lie_in_memory_as_group_normalisation_wants_them(name: str, device: str, last: bool) -> None:
    conv = nn.Conv2d(3, 4, 3)
    runtime.place(conv, RuntimeConfig(memory_format=name), torch.device(device))  # type: ignore[arg-type]
    assert conv.weight.device.type == device
    assert conv.weight.is_contiguous(memory_format=torch.channels_last) == last
    assert conv.weight.is_contiguous() != last


def test_configurations_of_older_runs_mean_what_they_said() -> None:
    for saved in (False, True):
        old = {"memory_format": "channels_last", "precision": "auto", "compile": saved}
        config = from_dict(RuntimeConfig, old)
        assert config.memory_format == "channels_last" and config.compile is saved
    assert from_dict(RuntimeConfig, to_dict(RuntimeConfig())) == RuntimeConfig()
    with pytest.raises(UserError, match="'compile' cannot be 1"):
        from_dict(RuntimeConfig, {"compile": 1})
    for text, value in (("True", True), ("False", False), ("auto", "auto")):
        assert parse(RuntimeConfig, ["--compile", text], "train").compile == value


def test_tf32_is_for_those_who_ask() -> None:
    use(precision="tf32")
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32
    use()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32


@pytest.fixture
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compile for real, whatever earlier runs have left on the disk."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        "torch._inductor.config.compile_threads", 1
    )  # further processes would start for little work


@pytest.fixture
def compiled_with(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The modes in which networks are compiled from here on, by a compiler that leaves them as they are."""
    modes: list[str | None] = []

    def compile(network: Any, mode: str | None) -> Any:
        def compute(*args: Any) -> Any:
            modes.append(mode)
            return network(*args)

        return compute

    monkeypatch.setattr(torch, "compile", compile)
    return modes


def test_only_dreams_replay_cuda_graphs(
    monkeypatch: pytest.MonkeyPatch, compiled_with: list[str | None]
) -> None:
    @runtime.in_chosen_mode
    def double(x: Tensor) -> Tensor:
        return x.mul_(2)  # the same memory every time, as a graph's results have

    use(compile=True)
    for on_gpu in (False, True):
        monkeypatch.setattr(runtime, "_graphs_work", lambda device, on_gpu=on_gpu: on_gpu)
        double(torch.ones(1))
        with runtime.fixed_shapes():
            x = torch.ones(1)
            first = double(x)
            double(x)
            assert first.item() == (2.0 if on_gpu else 4.0)  # a graph's results are copied
    assert compiled_with == [None, None, None, None, "reduce-overhead", "reduce-overhead"]


@pytest.mark.usefixtures("on_cuda")
def test_dreams_on_a_gpu_are_compiled_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, compiled_with: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    @runtime.in_chosen_mode
    def double(x: Tensor) -> Tensor:
        return 2 * x

    def modes(compile: object, triton: bool) -> list[str | None]:
        """In which a network is compiled when it trains, and when it dreams."""
        monkeypatch.setattr(runtime, "has_triton", lambda: triton)
        runtime.setup(RuntimeConfig(allocator="default", compile=compile))  # type: ignore[arg-type]
        monkeypatch.setattr(runtime, "_graphs_work", lambda device: True)
        compiled_with.clear()
        double(torch.ones(1))
        with runtime.fixed_shapes():
            double(torch.ones(1))
        return list(compiled_with)

    assert modes("auto", triton=True) == ["reduce-overhead"]
    assert modes(True, triton=True) == [None, "reduce-overhead"]
    assert modes(False, triton=True) == []
    assert not capsys.readouterr().err
    assert modes("auto", triton=False) == []
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no Triton that works for cuda" in lines[0]


def test_nothing_is_compiled_on_a_cpu_unless_asked(compiled_with: list[str | None]) -> None:
    @runtime.in_chosen_mode
    def double(x: Tensor) -> Tensor:
        return 2 * x

    use()
    with runtime.fixed_shapes():
        double(torch.ones(1))
    assert compiled_with == []


def test_the_whole_step_of_a_dream_is_of_fixed_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolutional network in it, as in the published code; burning in at a start is not."""
    config = preset("debug")
    spec = ActionSpec.numbered(3)
    world_model = Diamond(model_config(config), (3, 16, 16), spec)
    seen: list[bool] = []

    def spy(network: nn.Module) -> None:
        network.register_forward_pre_hook(lambda *_: seen.append(runtime._replay.get()))

    spy(world_model.denoiser.inner_model)
    assert world_model.reward_end is not None
    spy(world_model.reward_end.encoder)
    length = world_model.context_length
    obs = torch.zeros(2, length, 3, 16, 16, dtype=torch.uint8)
    state, _ = world_model.start(frames_alone(obs))
    assert seen == [False]
    seen.clear()
    world_model.imagine(state, torch.zeros(2, dtype=torch.int64), torch.Generator())
    assert seen == [True] * (model_config(config).sampler.num_steps + 1)


def test_cuda_graphs_stay_in_the_main_thread() -> None:
    answers = [runtime._graphs_work(torch.device("cuda"))]
    thread = threading.Thread(target=lambda: answers.append(runtime._graphs_work(torch.device("cuda"))))
    thread.start()
    thread.join()
    assert answers == [True, False]
    assert not runtime._graphs_work(CPU)


@pytest.mark.usefixtures("fresh_cache")
def test_a_compiled_network_computes_the_same_for_every_batch_size() -> None:
    norm = GroupNorm(8)
    normalise = runtime.in_chosen_mode(lambda x: F.silu(norm(x)))
    frames = [torch.randn(size, 8, 4, 4, generator=torch.Generator().manual_seed(size)) for size in (4, 3, 1)]

    def compute() -> list[Tensor]:
        features = [normalise(x) for x in frames]
        return [*features, *torch.autograd.grad(features[0].square().sum(), list(norm.parameters()))]

    exact = compute()
    use(compile=True)
    for compiled, plain in zip(compute(), exact, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0  # it was compiled


def test_without_a_compiler_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_compiler(network: Any, mode: str | None) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Tensor:
            raise torch._dynamo.exc.BackendCompilerFailed("inductor", RuntimeError("no C++ compiler"), None)

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)

    @runtime.in_chosen_mode
    def double(x: Tensor) -> Tensor:
        return 2 * x

    use(compile=True)
    for _ in range(2):
        assert double(torch.ones(2)).tolist() == [2.0, 2.0]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "no C++ compiler" in lines[0]
