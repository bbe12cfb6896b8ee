"""The page's functions that need no browser, run by node; and what its files must keep to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamas.play.server_messages import ViewUpdate, encode_update, header_json
from tests.helpers.server_messages import HEADER

STATIC = Path(__file__).parents[2] / "adamas" / "play" / "static"
MINATAR = ["noop", "left", "up", "right", "down", "fire"]
BREAKOUT = ["noop", "fire", "right", "left"]
ATARI = [
    *["noop", "fire", "up", "right", "left", "down", "upright", "upleft", "downright", "downleft"],
    *[
        "upfire",
        "rightfire",
        "leftfire",
        "downfire",
        "uprightfire",
        "upleftfire",
        "downrightfire",
        "downleftfire",
    ],
]

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Evaluates the body of an async JavaScript function that may use the page's modules."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; it runs the page's functions")
    folder = tmp_path_factory.mktemp("page")
    (folder / "package.json").write_text('{"type": "module"}')
    names = ["keys", "messages", "meters"]
    for name in names:
        shutil.copy(STATIC / f"{name}.js", folder)
    imports = "".join(f'import * as {name} from "./{name}.js";\n' for name in names)

    def evaluate(body: str) -> Any:
        script = folder / "script.js"
        script.write_text(
            f"{imports}const answer = await (async () => {{ {body} }})();\n"
            "console.log(JSON.stringify(answer ?? null));"
        )
        done = subprocess.run([node, script], capture_output=True, text=True, cwd=folder, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return evaluate


def held_to_action(run: Run, cases: list[tuple[list[str], list[str]]]) -> list[str | None]:
    """The names of the actions that held tokens mean, for pairs of tokens (oldest first) and a game's names."""
    chosen = run(f"return {json.dumps(cases)}.map(([held, names]) => keys.chooseAction(held, names));")
    return [None if index is None else names[index] for index, (_, names) in zip(chosen, cases, strict=True)]


def test_what_is_held_becomes_an_action(run: Run) -> None:
    table: list[tuple[list[str], list[str], str | None]] = [
        ([], MINATAR, None),
        (["left"], MINATAR, "left"),
        (["fire"], MINATAR, "fire"),
        (["up", "left"], ATARI, "upleft"),
        (["left", "up"], ATARI, "upleft"),
        (["right", "up", "fire"], ATARI, "uprightfire"),
        (["fire", "down"], ATARI, "downfire"),
        (["left", "right"], ATARI, "right"),  # the newer of two opposites
        (["right", "left", "fire"], ATARI, "leftfire"),
        (["up", "right"], MINATAR, "right"),  # no diagonal: the newest part
        (["right", "up"], MINATAR, "up"),
        (["right", "fire"], BREAKOUT, "fire"),
        (["fire", "right"], BREAKOUT, "right"),
        (["left", "up"], BREAKOUT, "left"),  # nothing goes up there
        (["up"], BREAKOUT, None),
        (
            ["up", "right", "fire"],
            ["noop", "upright", "rightfire", "fire"],
            "rightfire",
        ),  # most parts, then newest
        (["action:2"], ["0", "1", "2"], "2"),
        (["action:7"], ["0", "1", "2"], None),
        (["left"], ["0", "1", "2"], None),
        (["left", "action:1"], MINATAR, "left"),  # action 1 is called left
        (["action:5", "left"], MINATAR, "left"),
    ]
    assert held_to_action(run, [(held, names) for held, names, _ in table]) == [
        action for *_, action in table
    ]


def test_names_and_keys(run: Run) -> None:
    parts = [["up", "right", "fire"], ["up", "left"], [], None, None, None]
    assert run('return ["UPRIGHTFIRE", "up-left", "noop", "", "upward", "3"].map(keys.partsOf);') == parts
    codes = ["KeyW", "ArrowLeft", "Space", "Digit0", "Numpad9", "KeyP"]
    tokens = ["up", "left", "fire", "action:0", "action:9", None]
    assert run(f"return {json.dumps(codes)}.map(keys.tokenOfKey);") == tokens
    labels = ["noop", "↖ fire", "fire", "jump"]
    assert run('return ["noop", "upleftfire", "fire", "jump"].map(keys.labelOf);') == labels


def test_held_remembers_the_order_and_lets_go_by_source(run: Run) -> None:
    assert run("""
        const held = new keys.Held();
        const seen = [];
        const set = (source, tokens) => { held.set(source, tokens); seen.push(held.tokens); };
        set("KeyA", ["left"]);
        set("thumb", ["up", "right"]);
        set("thumb", ["right"]);
        set("KeyA", []);
        set("thumb", ["right", "up"]);
        held.clear();
        return [...seen, held.tokens];
    """) == [["left"], ["left", "up", "right"], ["left", "right"], ["right"], ["right", "up"], []]


def test_a_thumb_means_the_directions_that_the_game_has(run: Run) -> None:
    table: list[tuple[float, float, list[str], list[str]]] = [
        (0.1, 0.1, ATARI, []),  # resting in the middle
        (0.5, -0.5, ATARI, ["up", "right"]),
        (0.5, -0.1, ATARI, ["right"]),
        (0.5, -0.4, MINATAR, ["right"]),  # four sectors without diagonals
        (0.4, 0.5, MINATAR, ["down"]),
        (-0.2, 0.9, BREAKOUT, ["left"]),  # left and right alone: all of the pad is one or the other
        (0.5, 0.5, ["0", "1"], []),
    ]
    places = json.dumps([row[:3] for row in table])
    found = run(f"return {places}.map(([x, y, names]) => keys.directionsAt(x, y, keys.controlsOf(names)));")
    assert found == [directions for *_, directions in table]
    assert run('return keys.controlsOf(["noop", "left", "jump", "duck"]);') == {
        "up": False,
        "down": False,
        "left": True,
        "right": False,
        "fire": False,
        "diagonal": False,
        "numbered": [2, 3],
    }


def test_a_moment_of_the_server_is_read(run: Run, tmp_path: Path) -> None:
    images = [np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) + 100 * i for i in range(2)]
    header = replace(HEADER, images=["dream", "real"], action="größer")
    update = ViewUpdate(header, [image.astype(np.uint8) for image in images])
    (tmp_path / "update").write_bytes(encode_update(update))
    read = f"""
        const fs = await import("node:fs");
        const bytes = new Uint8Array(fs.readFileSync({json.dumps(str(tmp_path / "update"))})).buffer;
    """
    found = run(
        read
        + """
        const { header, images } = messages.parseUpdate(bytes, 2, 3);
        return [header, Object.fromEntries([...images].map(([name, rgb]) => [name, [...rgb]]))];
    """
    )
    assert found == [header_json(header), {"dream": list(range(18)), "real": list(range(100, 118))}]
    refused = run(
        read
        + """
        const cut = [[bytes.slice(0, -1), 2], [bytes.slice(0, 9), 2], [bytes.slice(0, 2), 2], [bytes, 3]];
        return cut.map(([some, height]) => {
            try { messages.parseUpdate(some, height, 3); } catch (error) { return error.message; }
        });
    """
    )
    assert refused == [
        "an update's images do not fill it",
        "an update ends within its description",
        "an update of less than 4 bytes",
        "an update's images do not fill it",
    ]


def test_a_note_has_a_type(run: Run) -> None:
    assert run('return messages.parseNote(\'{"type": "notice", "text": "x"}\');') == {
        "type": "notice",
        "text": "x",
    }
    assert (
        run("""
        return ["{", "null", "[]", '{"type": 3}'].map((text) => {
            try { return messages.parseNote(text); } catch { return "refused"; }
        });
    """)
        == ["refused"] * 4
    )


def test_reconnect_delays(run: Run) -> None:
    assert run("return [0, 1, 2, 3, 4, 50].map(messages.reconnectDelay);") == [
        500,
        1000,
        2000,
        4000,
        5000,
        5000,
    ]


def test_what_is_restored_after_a_lost_connection(run: Run) -> None:
    last = {"settings": {"fps": 30}, "view": "both", "control": "human", "paused": True}
    hello = {"views": ["dream", "both", "real"]}
    assert run(f"return messages.restoring({json.dumps(last)}, {json.dumps(hello)});") == [
        {"type": "settings", "fps": 30},
        {"type": "view", "view": "both"},
        {"type": "control", "who": "human"},
        {"type": "pause", "paused": True},
    ]
    last |= {"paused": False, "control": "agent"}
    assert run(f'return messages.restoring({json.dumps(last)}, {{"views": ["dream"]}});') == [
        {"type": "settings", "fps": 30},
        {"type": "control", "who": "agent"},
    ]
    assert run(f"return messages.restoring(null, {json.dumps(hello)});") == []


def test_latency_is_of_the_action_that_is_seen(run: Run) -> None:
    assert run("""
        const latency = new meters.Latency();
        const seen = [latency.median];
        latency.sent(1, 0); latency.sent(2, 10); latency.drawn(0, 20); seen.push(latency.median);
        latency.drawn(2, 40); seen.push(latency.median);     // 30; nobody saw action 1
        latency.drawn(2, 90); seen.push(latency.median);     // still obeyed, not measured again
        latency.sent(3, 100); latency.drawn(3, 150); seen.push(latency.median);
        latency.sent(4, 200); latency.forget(); latency.drawn(4, 900); seen.push(latency.median);
        for (let i = 5; i < 25; i += 1) { latency.sent(i, 0); latency.drawn(i, 7); }
        return [...seen, latency.median];
    """) == [None, None, 30, 30, 40, 40, 7]


def test_rates_and_histories(run: Run) -> None:
    assert run("""
        const rate = new meters.Rate(1000);
        const seen = [rate.perSecond(0)];
        for (const t of [0, 100, 200, 300]) rate.tick(t);
        return [...seen, rate.perSecond(300), rate.perSecond(5000)];
    """) == [0, 10, 0]
    assert run("""
        const history = new meters.History(["a", "b"], 3);
        history.add("1", { a: 1, b: 2 });
        history.add("1", { a: 9, b: 9 });
        for (const i of [2, 3, 4]) history.add(String(i), { a: i });
        return history.series;
    """) == {"a": [2, 3, 4], "b": [None, None, None]}


# --- the files themselves ------------------------------------------------------------------------------------------


def text(pattern: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob(pattern))}


def test_files_are_short_and_have_names_that_the_server_serves() -> None:
    files = text("*")
    assert {"index.html", "main.js"} <= set(files)
    assert [name for name in files if not re.fullmatch(r"[a-z0-9_.-]+\.(html|css|js|svg)", name)] == []
    assert [name for name, content in files.items() if len(content.splitlines()) > 300] == []


def test_nothing_breaks_the_content_security_policy_or_leaves_the_machine() -> None:
    page = text("*.html")["index.html"]
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", page) == []
    everything = "".join(text("*").values()).replace("http://www.w3.org/2000/svg", "")
    assert (
        re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}|@import|\beval\(|setAttribute\(\"style", everything)
        == []
    )


def test_ids_and_files_that_are_named_exist() -> None:
    files = text("*")
    page = files["index.html"]
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    named = {
        found for js in text("*.js").values() for found in re.findall(r'(?:byId|click)\("([^"]+)"\)', js)
    }
    labels = set(re.findall(r'\s(?:for|aria-labelledby)="([^"]+)"', page))
    assert len(named) > 50 and (named | labels) - set(ids) == set()
    used = set(re.findall(r'static/([^"#]+)', page))
    used |= {found for js in text("*.js").values() for found in re.findall(r'from "\./([^"]+)"', js)}
    assert used | {"index.html"} == set(files)
    icons = set(re.findall(r'<symbol id="icon-([^"]+)"', page))
    assert set(re.findall(r'href="#icon-([a-z]+)"', page)) == icons
