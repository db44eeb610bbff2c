"""Write a model that somebody else trained: PaddleOCR's text detector, as an ONNX file.

It needs the package rapidocr-onnxruntime, without its dependencies: docs/detection.md says how to
install it. The argument is your models directory.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml

package = find_spec("rapidocr_onnxruntime")  # its code is not run: it needs a second OpenCV
if package is None or package.origin is None:
    sys.exit("error: pip install --no-deps --ignore-requires-python rapidocr-onnxruntime")
folder = Path(sys.argv[1], "text", "1")
folder.mkdir(parents=True, exist_ok=True)
graph = Path(package.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"
shutil.copyfile(graph, folder / "text.onnx")
document = {
    "description": "Finds text in images, word by word or line by line",
    "task": "detection",
    "kind": "onnx",
    "weights": "text.onnx",
    "outputs": {"family": "text", "unclip": 1.6},
    "input": {"multiple": 32, "max_side": 960, "colours": "bgr", "mean": [0.5], "std": [0.5]},
}
(folder / "model.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
print(f"written: {folder}")
