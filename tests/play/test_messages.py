from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.samplers import SamplerConfig
from adamas.play import messages
from adamas.play.messages import Settings, parse
from adamas.play.server_messages import Notice, Saved, ViewUpdate, WorldStatus, encode_note, encode_update
from adamas.presets import preset
from tests.helpers.diamond import model_config
from tests.helpers.server_messages import HEADER, HELLO


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        ({"type": "action", "action": 2, "seq": 17}, messages.Action(2, 17)),
        ({"type": "action", "action": None}, messages.Action(None, 0)),
        ({"type": "control", "who": "human"}, messages.Control("human")),
        ({"type": "pause", "paused": True}, messages.Pause(True)),
        ({"type": "step"}, messages.Step()),
        ({"type": "reset"}, messages.Reset()),
        ({"type": "fork"}, messages.Fork()),
        ({"type": "view", "view": "both"}, messages.ChangeView("both")),
        ({"type": "record", "on": False}, messages.Record(False)),
    ],
)
def test_requests(message: dict[str, Any], request_: messages.Request) -> None:
    assert parse(json.dumps(message), num_actions=3) == request_


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 400, "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "unknown request None"),
        ('{"type": ["step"]}', "unknown request"),
        ('{"type": "actoin", "action": 1}', "did you mean 'action'?"),
        ('{"type": "action"}', "'action.action' is missing"),
        ('{"type": "action", "action": 3}', "`action` is 3; it must be at least 0 and below 3"),
        ('{"type": "action", "action": -1}', "`action` is -1; it must be at least 0 and below 3"),
        ('{"type": "action", "action": 1.0}', "must be int"),
        ('{"type": "action", "action": true}', "must be int"),
        ('{"type": "action", "action": "../../etc/passwd"}', "must be int"),
        ('{"type": "step", "count": 9}', "unknown configuration key 'step.count'"),
        ('{"type": "view", "view": "everything"}', "cannot be 'everything'"),
        ('{"type": "control", "who": 1}', "cannot be 1"),
        ('{"type": "settings", "fps": 0}', r"`fps` is 0.0; it must be at least 1 and at most 60"),
        ('{"type": "settings", "fps": NaN}', "`settings.fps` is nan"),
        ('{"type": "settings", "horizon": 1e9}', "must be int"),
        ('{"type": "settings", "denoising_steps": 51}', "`denoising_steps` is 51"),
        ('{"type": "settings", "horizon": ' + 400 * "9" + "}", "`settings.horizon` is a huge whole number"),
        (
            '{"type": "settings", "denoising_steps": -' + 400 * "9" + "}",
            "`settings.denoising_steps` is a huge whole number",
        ),
        ('{"type": "settings", "fps": ' + 400 * "9" + "}", "must be float, got a huge whole number"),
        ('{"type": "settings", "fps": 1e999}', "`fps` is inf"),
        ('{"type": "settings", "temperature": -Infinity}', "`temperature` is -inf"),
        ('{"type": "settings", "method": ' + 400 * "9" + "}", "cannot be a huge whole number"),
        ('{"type": "settings", "strip": ' + 400 * "9" + "}", "must be bool, got a huge whole number"),
        ('{"type": "action", "action": 0, "seq": ' + 400 * "9" + "}", "`action.seq` is a huge whole number"),
        ('{"type": "action", "action": ' + 400 * "9" + "}", "`action.action` is a huge whole number"),
        ('{"type": ' + 400 * "9" + "}", "unknown request 999"),
        (5000 * "9", "not JSON"),
        ('{"type": "settings", "method": "rk4"}', "cannot be 'rk4'"),
        ('{"type": "settings", "device": "cuda"}', "unknown configuration key 'settings.device'"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        parse(text, num_actions=3)
    assert "\n" not in str(error.value)


@given(
    st.text()
    | st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text()).map(json.dumps)
)
def test_no_text_does_harm(text: str) -> None:
    try:
        assert isinstance(parse(text, num_actions=3), messages.Request)
    except UserError as error:
        assert "\n" not in str(error)


def test_settings_change_one_by_one() -> None:
    change = parse('{"type": "settings", "fps": 30, "strip": true}', num_actions=3)
    assert isinstance(change, messages.ChangeSettings)
    assert change.apply(Settings(denoising_steps=5)) == Settings(fps=30.0, denoising_steps=5, strip=True)


def test_the_sampler_is_the_trained_one_but_for_steps_and_method() -> None:
    config = replace(model_config(preset("debug")), sampler=SamplerConfig(num_steps=3, sigma_max=20.0))
    trained = config.build((3, 8, 8), ActionSpec.numbered(3))
    model = Settings(denoising_steps=10, method="heun").world_model(trained)
    assert model.sampler == SamplerConfig(num_steps=10, method="heun", sigma_max=20.0)
    assert trained.sampler == SamplerConfig(num_steps=3, sigma_max=20.0)


def test_a_moment_is_a_length_a_description_and_pixels() -> None:
    first, second = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.full((2, 2, 3), 7, np.uint8)
    game = WorldStatus(reward=0.0, total=2.0, age=4, over="ended")
    header = replace(HEADER, real=game, difference=1.5, images=["dream", "real"], action="größer é")
    data = encode_update(ViewUpdate(header, [first, second]))
    (length,) = struct.unpack("<I", data[:4])
    assert json.loads(data[4 : 4 + length]) == {
        "dream": {
            **{"reward": 1, "return": 3, "age": 17, "over": ""},
            **{"reward_probabilities": [0, 0.75, 0.25], "end_probability": 0.02},
        },
        "real": {"reward": 0, "return": 2, "age": 4, "over": "ended"},
        "difference": 1.5,
        **{"frame": 17, "ack": 0, "view": "dream", "control": "agent", "paused": False, "recording": True},
        "settings": {
            **{"fps": 15, "denoising_steps": 3, "method": "euler", "horizon": 0},
            **{"temperature": 1, "strip": False, "training": False},
        },
        "images": ["dream", "real"],
        "action": "größer é",
        "policy": {"probabilities": [0.5, 0, 0.5], "value": -0.25, "entropy": 0.6931},
        "speed": {"fps": 14.9, "ms": 8.2, "players": 1},
    }
    assert data[4 + length :] == bytes(range(12)) + bytes([7] * 12)


def test_the_description_leaves_out_what_is_not_shown() -> None:
    data = encode_update(ViewUpdate(replace(HEADER, dream=None, policy=None, action=None), []))
    header = json.loads(data[4:])
    assert not {"dream", "real", "difference"} & header.keys()
    assert header["policy"] is None and header["action"] is None


def test_notes_are_json_of_a_type() -> None:
    assert json.loads(encode_note(Notice(text="no game"))) == {"type": "notice", "text": "no game"}
    saved = Saved(dataset="played-dream", episode=3, steps=20)
    assert json.loads(encode_note(saved)) == {
        **{"type": "saved", "dataset": "played-dream", "episode": 3, "steps": 20}
    }
    assert json.loads(encode_note(HELLO)) == {
        **{"type": "hello", "title": "tiny", "game": "breakout (minatar)", "has_policy": True},
        **{"has_rewards": True, "height": 10, "width": 10, "actions": ["noop", "left", "right"]},
        **{"views": ["dream", "both", "real"], "why_no_real": "", "samplers": ["euler", "heun"]},
        **{"limits": {"fps": [1, 60]}},
    }
