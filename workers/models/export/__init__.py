"""From a torch model to an ONNX version of it, compared with the original before it may serve."""
