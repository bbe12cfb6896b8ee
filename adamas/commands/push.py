"""``adamas push``: upload an agent to the Hugging Face hub."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import adamas
from adamas.agent import Agent
from adamas.commands.common import find_target
from adamas.core.arguments import parse
from adamas.core.checkpoint import AGENT_FILES, Checkpoint
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.evaluation.result_file import newest_file, parse_evaluation
from adamas.evaluation.results import Evaluation
from adamas.interop.hub import Repository, look_up, parse_address, upload
from adamas.interop.load import checkpoint_in, load
from adamas.training.config import Config

USE = "adamas push RUN|CHECKPOINT hf://owner/name"

WITH_DREAMS = "A world model, and a policy that learnt in its dreams alone."
OF_RECORDINGS = "A world model that learnt from recordings, without a policy."
WITHOUT_DREAMS = "A policy that learnt in the real game. The world model beside it was never trained."


@dataclass(frozen=True)
class Push:
    """Upload an agent to the Hugging Face hub: weights, configuration, final scores if it has any, and a model card."""

    private: bool = False
    """Create the repository as a private one, which others cannot see. By default, everybody can see it."""
    licence: str = "mit"
    """Licence of the weights, by the hub's name for it, such as mit or cc-by-4.0."""
    message: str = "Upload an agent with adamas push"
    """Message of the commit in the repository."""
    yes: bool = False
    """Upload without asking for confirmation."""


def push(arguments: Sequence[str]) -> None:
    """Show what would be uploaded, ask, and upload it."""
    if len(arguments) < 2 or any(word.startswith("-") for word in arguments[:2]):
        raise UserError(f"push needs an agent and a repository: {USE}")
    address = parse_address(arguments[1])
    if address.path or address.revision:
        raise UserError(f"{arguments[1]} names more than a repository; use: {USE}")
    word = f"hf://{address.repository}"
    options = parse(Push, arguments[2:], f"push {arguments[0]} {word}")
    folder = checkpoint_in(Path(arguments[0])).path
    agent = load(folder, "cpu")  # fails before the upload if it is damaged
    _, config, _ = find_target([str(folder)], "push")
    scores = scores_file(folder)
    final = None if scores is None else read_scores(scores)
    if final is not None and not _is_of(final, folder):
        scores = final = None

    # Files are named one by one, so that no optimiser state, recording or pickle is uploaded by accident.
    files: dict[str, Path | bytes] = {name: folder / name for name in AGENT_FILES}
    if scores is not None:
        files["scores.json"] = scores
    files["README.md"] = model_card(word, agent, config, final, options.licence).encode()

    there = look_up(word)
    if there is not None and options.private and not there.private:
        raise UserError(
            f"{word} exists and everybody can see it; choose another name, or leave out `private`"
        )
    _show(word, files, there, options)
    if not options.yes:
        _ask()
    create = there is None
    print(upload(word, files, options.message, create=create, private=options.private))
    print(f'  adamas.load("{word}")')


def scores_file(checkpoint: Path) -> Path | None:
    """The file with the final scores of a checkpoint's run; None if there are none, or of another checkpoint."""
    checkpoint = checkpoint.resolve()
    newest, run = checkpoint.parent / "latest", checkpoint.parents[1]
    if not newest.is_file() or newest.read_bytes().strip() != checkpoint.name.encode():
        return None
    return newest_file(run / "results")


def read_scores(file: Path) -> Evaluation:
    """Read the final scores of a run.

    Raises:
        UserError: the file cannot be read, or it is damaged.
    """
    try:
        return parse_evaluation(read_file(file))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; move it elsewhere") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            f"the scores in {file.parent} are damaged ({error!r}); move them elsewhere"
        ) from error


def _is_of(final: Evaluation, checkpoint: Path) -> bool:
    """Whether scores are those of a checkpoint, and not of its run before the run was trained further."""
    if final.run is None or not (checkpoint / "trainer.pt").exists():
        return False
    clock = Checkpoint(checkpoint, step=0).trainer_state().get("clock", {})
    return bool(clock.get("seconds") == final.run.seconds)


def model_card(word: str, agent: Agent, config: Config, final: Evaluation | None, licence: str) -> str:
    """The page of an agent on the hub: Markdown with a YAML header.

    Args:
        word: its address, ``hf://owner/name``.
        agent: the agent.
        config: the configuration of its run.
        final: its final scores; None if it has none.
        licence: the hub's name of the licence.
    """
    env, sampler = config.env, agent.world_model.sampler
    diffusion = [] if sampler is None else ["diffusion"]
    game = [] if env is None else [env.suite, env.game]
    head = {
        "license": licence,
        "library_name": "adamas",
        "tags": ["reinforcement-learning", "world-model", *diffusion, *game],
    }
    spec = agent.action_spec
    rows = {
        "game": "not named by its recordings" if env is None else f"{env.game} ({env.suite})",
        "frames (C, H, W)": tuple(agent.config.obs_shape),
        "actions": ", ".join(spec.names) if spec.is_discrete else str(spec),
        "parameters": f"{sum(p.numel() for p in agent.parameters()):,}",
        **({} if sampler is None else {"denoising steps of a frame": sampler.num_steps}),
        "seed": config.seed,
    }
    if final is not None and final.run is not None:
        rows["steps of the real game"] = f"{final.run.real_steps:,}"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {"Recordings" if env is None else env.game}: {"a world model" if agent.actor_critic is None else "an agent"} of Adamas

{_what(agent, config)} Uploaded with Adamas {adamas.__version__}.
{agent.config.world_model.summary}

```python
import adamas  # with huggingface_hub: pip install 'adamas[hub]'
agent = adamas.load("{word}")
{_use(agent)}
```

## Scores

{_scores(final)}

## Training

| | |
| --- | --- |
{table}

The whole configuration is in [config.yaml](config.yaml).
"""


def _what(agent: Agent, config: Config) -> str:
    """What an agent consists of, in a sentence or two."""
    if agent.actor_critic is None:
        return OF_RECORDINGS
    return WITH_DREAMS if config.imagination == "on" else WITHOUT_DREAMS


def _use(agent: Agent) -> str:
    """A line of Python that uses an agent."""
    shape = tuple(agent.config.obs_shape)
    if agent.actor_critic is None:
        return f'dreams = adamas.make_dream(agent, "DATASET")  # Gymnasium; DATASET holds frames {shape} to start from'
    return f"action, state = agent.act(obs)  # obs: {shape} uint8; pass state with the next frame"


def _scores(final: Evaluation | None) -> str:
    if final is None:
        return "This agent was uploaded without scores in the real game."
    lines = ["| policy | mean return | 95 % interval | episodes |", "| --- | --- | --- | --- |"]
    for name, score in final.scores.items():
        interval = score.mean_interval_95
        shown = "none" if interval is None else "[{:.2f}, {:.2f}]".format(*interval)
        lines.append(f"| {name} | {score.mean:.2f} | {shown} | {len(score.returns)} |")
    protocol = final.protocol
    env = ", ".join(
        f"{name} {'default' if value is None else value}"
        for name, value in to_dict(protocol.env).items()
        if name != "life_loss_ends"  # concerns training alone
    )
    return "\n".join(lines) + (
        f"""

Whole episodes of the real game; a lost life does not end one. Environment: {env}.
Actions {protocol.actions} at temperature {protocol.temperature}, seed {protocol.seed}.
The intervals cover evaluation noise only; other training seeds vary more.
Every episode, the code and the machine are in [scores.json](scores.json)."""
    )


def _show(word: str, files: Mapping[str, Path | bytes], there: Repository | None, options: Push) -> None:
    private = options.private if there is None else there.private
    seen_by = "private" if private else "public"
    print(f"{word}: {'new' if there is None else 'exists'}, {seen_by}; licence {options.licence}")
    for name, content in files.items():
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        replaces = there is not None and name in there.files
        print(f"  {name:18s} {size:12,} bytes{'  replaces the one there' if replaces else ''}")


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UserError(
            "nothing was uploaded, because there is no terminal to confirm it; check the list and add `yes`"
        )
    if input("upload? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("nothing was uploaded, because the answer was not yes")
