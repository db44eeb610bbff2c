"""The pictures of the code's layout show the rooms that there are, in the order of the imports."""

import re
import tomllib

import pytest

from tests.docs.prose import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = {
    contract["containers"][0].rpartition(".")[2]: contract["layers"]
    for contract in CONTRACTS
    if contract["type"] == "layers" and contract["containers"] != ["agewell"]
}
PAGES = {name: (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "docs/architecture.md")}


def block_with(page: str, text: str) -> str:
    """The code block of a page that has this text."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if text in block]
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_picture_of_the_house_has_the_layers_of_the_import_contract(package: str):
    house = block_with("CONTRIBUTING.md", "never across")
    columns = ["".join(line.split("│")[3:4]) for line in house.splitlines()]
    if package != "workers":
        columns = ["".join(line.split("│")[1:2]) for line in house.splitlines()]
    lines = [re.sub(r" {2,}.*", "", line.strip()) for line in columns]
    names = [re.split(r" [|:] ", layer) for layer in LAYERS[package]]
    # The helpers of the settings stand for nothing of their own in the picture.
    shown = [" · ".join(each for each in layer if "setting_" not in each) for layer in names]
    places = [lines.index(each) for each in shown]
    assert places == sorted(places)


@pytest.mark.parametrize("package", LAYERS)
def test_tree_of_rooms_has_every_room(package: str):
    tree = block_with("docs/architecture.md", "├── cli/")
    rooms = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
    modules = [path.name for path in (ROOT / package).glob("*.py") if path.stem[0] != "_"]
    assert rooms
    part = re.search(rf"^{package}/.*?(?=^\S*/|\Z)", tree, re.MULTILINE | re.DOTALL)[0]
    assert [room for room in rooms if f"── {room}/ " not in part] == []
    assert [module for module in modules if module not in part] == []


def test_tree_of_rooms_has_no_room_that_does_not_exist():
    package, named = "", []
    for line in block_with("docs/architecture.md", "├── cli/").splitlines():
        if found := re.match(r"(\w+)/ ", line):
            package = found[1]
        names = re.findall(r"(?:── |, )([\w]+(?:/|\.py))", line.partition("   ")[0])
        named += [f"{package}/{name}" for name in names]
    assert len(named) > 25
    assert [path for path in named if not (ROOT / path).exists()] == []
