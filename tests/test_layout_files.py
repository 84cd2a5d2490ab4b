"""A user's own layout in a file, and the layouts that the package knows."""

import json
from pathlib import Path
from typing import Any

import pytest

from hiclr.datasets.layout_files import read_layout
from hiclr.errors import InputError
from hiclr.figures.skeletons import layout_figure
from hiclr.skeleton import COCO_17, H36M_17, LAYOUTS

TOML = """# a body without legs
name = "half7"
names = ["chest", "head", "arm_l", "arm_r", "hand_l", "hand_r", "belt"]
parents = ["chest", "chest", "chest", 0, "arm_l", 3, "chest"]
pairs = [["arm_l", "arm_r"], [4, 5]]
centre = "belt"
shoulders = ["arm_l", "arm_r"]
"""
TABLE: dict[str, Any] = {"names": ["a", "b_l", "b_r"], "parents": ["a", "a", "a"]}


def written(tmp_path: Path, table: Any) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(table))
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_layout(path)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_layout_is_read_by_name_and_by_index(tmp_path: Path):
    (tmp_path / "half.toml").write_text("\ufeff" + TOML.replace("\n", "\r\n"), encoding="utf-8")
    layout = read_layout(tmp_path / "half.toml")
    assert (layout.name, layout.num_joints, layout.root, layout.centre) == ("half7", 7, 0, 6)
    assert layout.parents == (0, 0, 0, 0, 2, 3, 0)
    assert layout.pairs == ((2, 3), (4, 5))
    assert layout.shoulders == (2, 3)


@pytest.mark.parametrize("root", ["a", 0, -1, None])
def test_what_is_left_out_follows_from_the_rest(tmp_path: Path, root: Any):
    layout = read_layout(written(tmp_path, {**TABLE, "parents": [root, "a", 0]}))
    assert layout.name == "mine"
    assert (layout.parents, layout.pairs, layout.centre, layout.shoulders) == ((0, 0, 0), ((1, 2),), 0, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": None}, "names must be a list"),
        ({"names": []}, "names must hold 1 to 1000"),
        ({"names": ["a", "a", "b"]}, "names must be unique, 'a' occurs twice"),
        ({"names": ["a", 3, "b"]}, "3 is none"),
        ({"names": ["a", "", "b"]}, "'' is none"),
        ({"names": [f"j{i}" for i in range(1001)]}, "holds 1001"),
        ({"parents": ["a", "a"]}, "one entry for each of the 3 names, it has 2"),
        ({"parents": ["a", "a", "c"]}, "parents has 'c', which is not among the names"),
        ({"parents": ["a", "a", 3]}, "parents has joint 3; the indices go from 0 to 2"),
        ({"parents": ["a", "a", True]}, "not True"),
        ({"parents": ["a", "a", 0.0]}, "not 0.0"),
        ({"parents": ["a", "a", [["x"] * 1000]]}, "parents wants joints by name"),
        ({"parents": ["a", "a", 10**300]}, "a huge number"),
        ({"parents": ["a", "b_l", "a"]}, "parents must make one tree; layout 'mine': one root"),
        ({"parents": ["a", "b_r", "b_l"]}, "loop"),
        ({"pairs": [["b_l", "b_r"], ["a", "b_l"]]}, "pairs must share no joint, 'b_l' stands in two"),
        (
            {"names": ["left_l", "right_l", "right_r"], "parents": [0, 0, 0]},
            "told by the names, so give them",
        ),
        ({"pairs": [["b_l", "b_l"]]}, "same one twice"),
        ({"pairs": [["b_l"]]}, "pairs wants [left, right]"),
        ({"pairs": "b_l b_r"}, "pairs must be a list"),
        ({"centre": "z"}, "centre has 'z'"),
        ({"centre": None}, "centre wants joints"),
        ({"shoulders": ["b_l", "x"]}, "shoulders has 'x'"),
        ({"shoulders": 3}, "shoulders wants [left, right]"),
        ({"name": ""}, "name must be a short text"),
        ({"center": "a"}, "there is no key 'center'; the keys are name, names, parents"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, change: dict[str, Any], said: str):
    assert said in refused(written(tmp_path, TABLE | change))


def test_a_missing_key_and_a_file_that_is_no_table(tmp_path: Path):
    assert "no key 'parents'" in refused(written(tmp_path, {"names": ["a"]}))
    assert "holds a list" in refused(written(tmp_path, [1]))
    path = tmp_path / "bad.toml"
    for content in (b"names = [", b"\xff\xfe", b"x = " + b"[" * 50_000):
        path.write_bytes(content)
        assert "cannot be read as TOML" in refused(path)
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000)
    assert "cannot be read as JSON" in refused(tmp_path / "deep.json")
    (tmp_path / "large.json").write_bytes(b" " * (2**20 + 1))
    assert "more than 1,048,576 bytes" in refused(tmp_path / "large.json")
    assert "There is no layout file" in refused(tmp_path / "none.toml")
    assert "must end in .toml or .json" in refused(tmp_path / "mine.yaml")


def test_known_layouts_name_left_and_right_whole():
    assert [LAYOUTS[name] for name in ("coco17", "h36m17")] == [COCO_17, H36M_17]
    for layout in (COCO_17, H36M_17):
        assert layout.num_joints == 17
        middle = [joint for joint, side in zip(layout.joints, layout.sides, strict=True) if side == "middle"]
        assert middle == [joint for joint in layout.joints if not joint.endswith(("_l", "_r"))]
    # the 17 of VideoPose3D: parents and sides as its own tables give them
    assert H36M_17.parents == (0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert sorted(left for left, _ in H36M_17.pairs) == [4, 5, 6, 11, 12, 13]
    # PYSKL's graph of COCO: child, parent
    assert set(COCO_17.bones) == {
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5), (10, 8), (8, 6), (5, 0), (6, 0),
        (1, 0), (3, 1), (2, 0), (4, 2),
    }  # fmt: skip


def test_a_layout_from_a_file_is_drawn_with_its_names(tmp_path: Path):
    (tmp_path / "half.toml").write_text(TOML)
    layout = read_layout(tmp_path / "half.toml")
    words = [text.get_text() for axes in layout_figure(layout).axes for text in axes.texts]
    assert all(any(joint in word for word in words) for joint in layout.joints)
