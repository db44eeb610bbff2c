"""Export: write a torch model as an ONNX version, and compare it with the original."""
