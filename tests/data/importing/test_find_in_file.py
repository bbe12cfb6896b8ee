"""Which arrays of a nested file are frames and actions, and which files are refused. Frame i is grey i."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py

from adamas.core.errors import UserError
from tests.helpers.recordings import frames, grey_of, greys, imported, write_csgo

FRONT, WRIST = greys(4), greys(14)[10:]


def robomimic(path: Path, count: int = 12, cameras: bool = True) -> Path:
    """A file as robomimic lays it out; demonstration i has i in its first action."""
    with h5py.File(path, "w") as file:
        for i in range(count):
            demo = file.create_group(f"data/demo_{i}")
            demo["actions"] = np.array([[i, -1.0], [0.5, 0.0], [1.0, 1.0], [0.0, 0.0]])
            demo["rewards"], demo["dones"] = [0.0, 0, 0, 1], [0, 0, 0, 1]
            demo["states"] = np.zeros((4, 7))
            for part, shift in (("obs", 0), ("next_obs", 1)):
                demo[f"{part}/agentview_image"] = FRONT + shift
                demo[f"{part}/robot0_eef_pos"] = np.zeros((4, 3))
                if cameras:
                    demo[f"{part}/robot0_eye_in_hand_image"] = WRIST + shift
        file["mask/train"] = [b"demo_0"]
    return path


@pytest.mark.parametrize(("key", "first"), [("agentview_image", 0), ("obs/robot0_eye_in_hand_image", 10)])
def test_robomimic_files_are_imported_in_the_order_of_their_numbers(
    tmp_path: Path, key: str, first: int
) -> None:
    store, notes = imported(robomimic(tmp_path / "all.hdf5"), frames=key)
    assert store.num_episodes == 12
    assert [store.episode(i).action[0, 0] for i in range(12)] == list(range(12))  # demo_10 comes after demo_9
    for i in range(12):  # the last frame of next_obs is the final observation
        assert grey_of(store, i) == list(range(first, first + 5))
        assert store.episode(i).reward.tolist() == [0, 0, 0, 1]
        assert store.episode(i).terminated.tolist() == [False, False, False, True]
    assert notes == []


def test_one_of_several_cameras_must_be_chosen(tmp_path: Path) -> None:
    path = robomimic(tmp_path / "all.hdf5", 2)
    cameras = "obs/agentview_image, obs/robot0_eye_in_hand_image"
    with pytest.raises(UserError, match=rf"data/demo_0 has several arrays of frames: {cameras}; .* `frames`"):
        imported(path)
    with pytest.raises(
        UserError, match=r"data/demo_0 has no frames called eef_pos; it has actions, dones, .*obs/agentview"
    ):
        imported(path, frames="eef_pos")
    assert imported(robomimic(tmp_path / "one.hdf5", 2, cameras=False))[0].num_episodes == 2


@pytest.mark.parametrize("where", ["obs/sensor_data/base_camera/rgb", "obs/image/base_camera/rgb"])
def test_maniskill_files_are_imported_as_recorded(tmp_path: Path, where: str) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for i in (10, 2):
            file[f"traj_{i}/actions"] = np.array([[i, 1.0], [0, 0], [1, 0.5]], np.float32)
            file[f"traj_{i}/{where}"] = greys(4)
            file[f"traj_{i}/{where.replace('/rgb', '/depth')}"] = np.zeros((4, 16, 32, 1), np.int16)
            file[f"traj_{i}/obs/agent/qpos"] = np.zeros((4, 9))
            file[f"traj_{i}/terminated"], file[f"traj_{i}/truncated"] = [False] * 3, [False, False, True]
            file[f"traj_{i}/success"] = [False, False, True]
            file[f"traj_{i}/env_states/actors/cube"] = np.zeros((4, 13))
    store, _ = imported(tmp_path / "t.h5")
    assert [store.episode(i).action[0, 0] for i in range(2)] == [2, 10] and grey_of(store) == [0, 1, 2, 3]
    assert store.episode(0).truncated.tolist() == [False, False, True]


def test_frames_of_npz_files_are_chosen_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", front=FRONT, wrist=WRIST, Actions=[0, 1, 2], REWARD=[0, 0, 1])
    store, _ = imported(tmp_path / "one.npz", frames="wrist")
    assert grey_of(store) == [10, 11, 12, 13] and store.episode(0).reward.tolist() == [0, 0, 1]


def test_arrays_in_fortran_s_order_are_imported_alike(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", obs=np.asfortranarray(frames(4)), action=[0, 1, 2])
    store, _ = imported(tmp_path / "one.npz")
    assert np.array_equal(store.episode(0).obs.transpose(0, 2, 3, 1), frames(4))


def sparse(path: Path, name: str, shape: tuple[int, ...], dtype: str, chunks: bool) -> None:
    """Room in a file, in which nothing was ever written."""
    with h5py.File(path, "a") as file:
        file.create_dataset(name, shape, dtype, chunks=chunks or None)


def header_that_lies(path: Path) -> None:
    """An NPZ file whose header promises a terabyte of actions."""
    np.savez(path, obs=greys(4))
    with zipfile.ZipFile(path, "a") as archive:
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }\n"
        archive.writestr("action.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def test_headers_that_promise_too_much_are_refused(tmp_path: Path) -> None:
    header_that_lies(tmp_path / "one.npz")
    with pytest.raises(
        UserError, match=r"one\.npz cannot be read as an NPZ file .*action\.npy holds 0 bytes"
    ):
        imported(tmp_path / "one.npz")
    for number, (name, shape, dtype, chunks) in enumerate(
        [
            ("obs", (2**40, 16, 32, 3), "u1", True),
            ("obs", (2**40, 16, 32, 3), "u1", False),
            ("action", (2**40,), "f8", True),
            ("action", (4, 2**40), "f8", False),
        ]
    ):
        path = tmp_path / f"{number}.hdf5"
        sparse(path, name, shape, dtype, chunks)
        with h5py.File(path, "a") as file:
            if name == "obs":
                file["action"] = [0, 1, 2]
            else:
                file["obs"] = greys(4)
        with pytest.raises(UserError, match=rf"{number}\.hdf5: parts of /{name} were never written"):
            imported(path)


def test_a_recording_that_was_killed_is_not_padded_with_black(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "one.hdf5", "w") as file:
        obs = file.create_dataset("obs", (6, 16, 32, 3), "u1", chunks=(1, 16, 32, 3))
        obs[:4], file["action"] = greys(4), [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"one\.hdf5: parts of /obs were never written"):
        imported(tmp_path / "one.hdf5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 10**12, "type": "Discrete"}, "an action has 1,000,000,000,000 options, as metadata.json says"),
        ({"nvec": [3, 10**12], "type": "MultiDiscrete"}, "an action has 1,000,000,000,000 options"),
        ({"n": 10**12, "type": "MultiBinary"}, "an action has 1,000,000,000,000 options"),
        ({"n": [[1]], "type": 7}, "the action space is 7, as metadata.json says; it must be one of Discrete"),
        ({"n": "many", "type": "Discrete"}, "cannot be read as a Minari dataset"),
    ],
)
def test_spaces_of_minari_that_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with h5py.File(tmp_path / "main_data.hdf5", "w") as file:
        file["episode_0/observations"], file["episode_0/actions"] = greys(4), [0, 1, 2]
    (tmp_path / "metadata.json").write_text(json.dumps({"action_space": json.dumps(options)}))
    with pytest.raises(UserError, match=message):
        imported(tmp_path)


def test_a_camera_of_minari_is_chosen(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "main_data.hdf5", "w") as file:
        file["episode_0/observations/front"], file["episode_0/actions"] = FRONT, [0, 1, 2]
        file["episode_0/observations/wrist"] = WRIST
    (tmp_path / "metadata.json").write_text(json.dumps({"action_space": '{"type": "Discrete", "n": 3}'}))
    for key in (None, "left"):
        with pytest.raises(
            UserError, match="there is observations/front, observations/wrist; choose one with `frames`"
        ):
            imported(tmp_path, frames=key)
    assert grey_of(imported(tmp_path, frames="wrist")[0]) == [10, 11, 12, 13]


def linked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["demo_0/obs"], file["demo_0/action"] = greys(4), [0, 1, 2]
        file["demo_1"] = h5py.ExternalLink("elsewhere.hdf5", "/demo_0")


def endless(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("a")["a"] = file["/"]


def in_another_file(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(4 * 16 * 32 * 3))
    with h5py.File(path, "w") as file:
        file["action"] = [0, 1, 2]
        file.create_dataset("obs", (4, 16, 32, 3), "uint8", external=[(str(secret), 0, 4 * 16 * 32 * 3)])


def of_another_file(path: Path) -> None:
    with h5py.File(path.with_name("secret.hdf5"), "w") as file:
        file["pixels"] = greys(4)
    layout = h5py.VirtualLayout(greys(4).shape, "uint8")
    layout[:] = h5py.VirtualSource(str(path.with_name("secret.hdf5")), "pixels", greys(4).shape)
    with h5py.File(path, "w") as file:
        file["action"] = [0, 1, 2]
        file.create_virtual_dataset("obs", layout)


def csgo_of_another_file(path: Path) -> None:
    write_csgo(path, frames(3, 0, 150, 280), np.eye(3, 51))
    path.rename(path.with_name("secret.hdf5"))
    with h5py.File(path, "w") as file:
        for i in range(3):
            for kind in "xy":
                file[f"frame_{i}_{kind}"] = h5py.ExternalLink("secret.hdf5", f"frame_{i}_{kind}")


def two_names(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["obs"], file["action"], file["actions"] = greys(4), [0, 1, 2], [2, 1, 0]


def of_dreamer(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["obs"], file["action"], file["is_first"] = greys(4), [0, 1, 2, 0], [1, 0, 0, 0]


def empty(path: Path) -> None:
    h5py.File(path, "w").close()


def longer(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["obs"], file["action"] = greys(4), np.arange(9)


def csgo_with_a_hole(path: Path) -> None:
    write_csgo(path, frames(3, 0, 150, 280), np.eye(3, 51))
    with h5py.File(path, "a") as file:
        del file["frame_1_x"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (linked, r"one\.hdf5: /demo_1 is a link"),
        (in_another_file, r"one\.hdf5: the values of /obs are in other files"),
        (of_another_file, r"one\.hdf5: the values of /obs are in other files"),
        (csgo_of_another_file, r"one\.hdf5: /frame_0_x is a link"),
        (endless, r"one\.hdf5 has groups nested more than 16 deep"),
        (two_names, r"one\.hdf5 has several arrays for the action: action, actions"),
        (of_dreamer, r"one\.hdf5 has an array is_first"),
        (empty, r"one\.hdf5 has no group with arrays called action or actions; it has nothing"),
        (longer, r"one\.hdf5 has 4 frames, but action has 9 rows"),
        (csgo_with_a_hole, r"one\.hdf5: frame_1_x is missing, but 1 frames come after it"),
    ],
)
def test_hdf5_files_that_cannot_be_understood_are_refused(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "one.hdf5")
    with pytest.raises(UserError, match=message) as error:
        imported(tmp_path / "one.hdf5")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
def test_damage_among_the_frames(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"one.{kind}"
    if kind == "npz":
        np.savez_compressed(path, action=[0, 1, 2], obs=frames(4))
    else:
        with h5py.File(path, "w") as file:
            file["action"] = [0, 1, 2]
            file.create_dataset("obs", data=frames(4), chunks=(1, 16, 32, 3), compression="gzip")
    content = bytearray(path.read_bytes())
    content[-3000:-2000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"one\.{kind} cannot be read to its end \(.*\); restore it"
    ) as error:
        imported(path)
    assert "\n" not in str(error.value)


def test_one_huge_number_in_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", obs=greys(4), action=[0, 1712345678123, 1])
    with pytest.raises(
        UserError, match=r"one\.npz, row 2: action is 1712345678123, too large for the number"
    ):
        imported(tmp_path / "one.npz")
