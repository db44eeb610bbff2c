"""The images: their sizes, their contents, and what a change builds again."""

from tests.containers.stack import Stack


def size_mb(stack: Stack, name: str) -> float:
    return float(stack.engine.get(f"/images/agewell-{name}:0.1.0/json")["Size"]) / 1e6


def python(stack: Stack, name: str, code: str) -> str:
    image = f"agewell-{name}:0.1.0"
    return stack.engine.docker(
        "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code
    )


def has(stack: Stack, name: str, module: str) -> bool:
    code = f"from importlib.util import find_spec; print(find_spec({module!r}) is not None)"
    return python(stack, name, code) == "True"


def test_the_cv_image_has_no_torch_and_is_small(images: Stack):
    assert not has(images, "cv", "torch")
    assert size_mb(images, "cv") <= 900


def test_the_infer_image_has_torch_without_cuda(images: Stack):
    code = "import torch; print(torch.version.cuda)"
    assert python(images, "infer", code) == "None"


def test_the_producer_needs_no_image_library(images: Stack):
    assert not has(images, "producer", "cv2")
    assert not has(images, "producer", "numpy")
    assert has(images, "producer", "agewell")
