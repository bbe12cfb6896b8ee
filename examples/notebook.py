"""Train an agent in its dream, score it, and look at the dream: a notebook in five cells.

    pip install -e '.[minatar,notebook]'
    marimo edit examples/notebook.py

It takes about half a minute. The run is a short ``quickstart``: its dreams are good, its agent has learnt little.
"""

import marimo

app = marimo.App()


@app.cell
def train():
    """Train: play the real game at random, learn to draw its frames, and learn to play in the dream."""
    import tempfile
    from pathlib import Path

    from adamas import cli

    run = Path(tempfile.mkdtemp()) / "run"
    budget = {
        "collection.total-steps": 2200,
        "collection.first-steps": 2000,
        "collection.first-steps-max": 2000,
        "collection.steps-per-epoch": 200,
        "training.denoiser.first-epoch-updates": 150,
        "training.reward-end.first-epoch-updates": 20,
        "training.actor-critic.first-epoch-updates": 5,
        "evaluation.final-episodes": 8,
        "evaluation.heldout-windows": 16,
    }
    options = [word for name, value in budget.items() for word in (f"--{name}", str(value))]
    cli.run(["train", "quickstart", "--run-dir", str(run), *options])
    return (run,)


@app.cell
def score(run):
    """Score: play the real game with the agent."""
    import adamas

    agent = adamas.load(run, device="cpu")
    games = adamas.make_env(run, num_envs=16)
    obs, state, total, playing = games.reset(seed=0)[0], None, 0.0, 16 * [True]
    while any(playing):
        action, state = agent.act(obs, state)
        obs, reward, terminated, truncated, _ = games.step(action)
        total += reward[playing].sum()
        playing = playing & ~(terminated | truncated)
    f"mean return of 16 episodes: {total / 16:.2f}"
    return adamas, agent


@app.cell
def dream(adamas, agent, run):
    """Dream: let the agent play in its dream, with the same calls as in the game."""
    dreams = adamas.make_dream(run, num_envs=1, horizon=50)
    frames, memory = [dreams.reset(seed=0)[0]], None
    while len(frames) < 20:
        move, memory = agent.act(frames[-1], memory)
        frames.append(dreams.step(move)[0])
    return (frames,)


@app.cell
def look(frames):
    """Look: the dream, frame by frame."""
    import matplotlib.pyplot as plt

    strip, axes = plt.subplots(2, 10, figsize=(10, 2.2))
    for _axis, _frame in zip(axes.flat, frames, strict=True):
        _axis.imshow(_frame[0])
        _axis.axis("off")
    strip  # noqa: B018  (a notebook shows the value of the last line)
    return plt, strip


@app.cell
def plot(plt, run):
    """Plot: the loss of the denoiser while it was trained."""
    import json

    lines = [json.loads(line) for line in (run / "metrics" / "metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if line["phase"] == "denoiser"]
    curve, _axis = plt.subplots(figsize=(6, 3))
    _axis.plot(*zip(*losses, strict=True), marker="o")
    _axis.set(xlabel="updates", ylabel="loss of the denoiser", yscale="log")
    curve  # noqa: B018
    return curve, losses


if __name__ == "__main__":
    app.run()
