"""The fields of `model.yaml`, which describes one version of a model and how to run it."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from agewell.shared.errors import ModelError
from agewell.shared.text.problems import first_problem
from agewell.workers.models.huggingface.effective import completed
from agewell.workers.models.ignored_fields import ignored
from agewell.workers.models.input_spec import Document, InputSpec, PositiveInt
from agewell.workers.models.moved_code import refuse_moved
from agewell.workers.models.outputs_spec import TASK_OF_FAMILY, Outputs

FILE_NAME: Final = "model.yaml"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
CODE_PATTERN: Final = r"^(\./[\w-]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_]\w*$"
"""`package.module:name`, if the worker can import the module, or `./file.py:name`, if the file is
next to model.yaml."""

_CHECK_SHARES: Final = {"float32": 0.0, "bfloat16": 0.05, "float16": 0.01}

Kind = Literal["torch", "exported", "onnx", "huggingface"]
Task = Literal["classification", "image", "detection", "segmentation"]
Code = Annotated[str, Field(pattern=CODE_PATTERN)]


class ModelSpec(Document):
    """One version of a model: the fields of its model.yaml."""

    name: str = Field(
        pattern=NAME_PATTERN, description="the model's name; default: that of the directory"
    )
    version: str = Field(
        pattern=NAME_PATTERN, description="the version's name; default: that of the directory"
    )
    variant_of: str | None = Field(
        default=None,
        pattern=NAME_PATTERN,
        description="the version of which this is an export; it serves only if it is activated",
    )
    description: str = Field(default="", description="a line for `agewell models list`")
    task: Task = Field(
        description="classification returns labels with probabilities, image a picture, detection "
        "boxes with labels and scores, segmentation a mask"
    )
    kind: Kind = Field(description="how the network is stored, and which library runs it")
    weights: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+$",
        description="name of the weights' file: .safetensors, .pt2 or .onnx",
    )
    onnx: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+\.onnx$",
        description="kind torch: an ONNX file of the same network, used if it is faster",
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the weights, checked when they are loaded",
    )
    entry: Code | None = Field(
        default=None, description="kind torch: a function or class that makes the module"
    )
    entry_options: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments for the entry"
    )
    model_class: Code | None = Field(
        default=None, description="a subclass of Model; default: that of the task"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="values for the model_class, which may use them"
    )
    labels: tuple[str, ...] = Field(
        default=(), description="the names of the classes, in order; not for task image"
    )
    input: InputSpec = Field(
        default=InputSpec(), description="how an image is converted to the network's input"
    )
    outputs: Outputs | None = Field(
        default=None,
        description="how the network's outputs are read; task image has none",
    )

    max_batch_size: PositiveInt = Field(default=16, description="images in one forward pass")
    max_pixels: PositiveInt = Field(
        default=2**23,
        description="pixels of all images in one pass; a single image may have more",
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = Field(
        default=5.0, description="how long an image waits for others to share its pass"
    )
    batch_buckets: tuple[PositiveInt, ...] | None = Field(
        default=None,
        description="the only allowed batch sizes: batches are filled up to the next one; default: "
        "any size, or powers of two with compile or cuda_graphs",
    )

    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="type of the arithmetic, by autocast; inputs and outputs stay float32",
    )
    weights_dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="type of the weights and of the arithmetic, without autocast: half of the "
        "memory; outputs are converted to float32",
    )
    fold_batch_norm: bool = Field(
        default=False, description="fold batch norm into the convolutions before it"
    )
    check_max_abs: Annotated[float, Field(ge=0)] = Field(
        default=1e-3, description="the largest allowed difference from check.npz, in float32"
    )
    channels_last: bool = Field(
        default=False, description="use torch's channels-last memory order, for convolutions"
    )
    compile: bool = Field(default=False, description="compile the module by torch.compile")
    cuda_graphs: bool = Field(
        default=False, description="record each pass once and replay it; only on CUDA"
    )

    provider: Literal["auto", "cpu", "cuda", "openvino"] = Field(
        default="auto",
        description="kind onnx: what runs the graph; auto: CUDA on a worker with a GPU if "
        "onnxruntime supports it, otherwise the CPU",
    )

    @field_validator("entry", "model_class")
    @classmethod
    def _not_moved(cls, entry: str | None) -> str | None:
        return None if entry is None else refuse_moved(entry)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "torch" and self.entry is None and self.model_class is None:
            raise ValueError("kind torch needs an entry: package.module:factory")
        if self.kind in ("exported", "onnx") and self.weights is None:
            raise ValueError(f"kind {self.kind} needs weights: its file's name")
        suffix = {"torch": ".safetensors", "exported": ".pt2", "onnx": ".onnx"}.get(self.kind)
        if suffix and self.weights and not self.weights.endswith(suffix):
            raise ValueError(f"weights of kind {self.kind} end with {suffix}, never a pickle")
        cuts = self.input.resize is not None and self.input.height is not None
        if self.task == "image" and self.model_class is None and cuts:
            raise ValueError("task image returns the whole picture: leave out input.resize")
        types = {self.dtype, self.weights_dtype} - {"float32"}
        if len(types) > 1:
            raise ValueError(f"dtype is {self.dtype}, but weights_dtype is {self.weights_dtype}")
        if self.batch_buckets and max(self.batch_buckets) < self.max_batch_size:
            raise ValueError("the largest of batch_buckets is below max_batch_size")
        if fault := next(ignored(self), None):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _outputs_fit_the_task(self) -> Self:
        if self.outputs is not None and TASK_OF_FAMILY.get(self.outputs.family) != self.task:
            raise ValueError(f"outputs of family {self.outputs.family} do not fit task {self.task}")
        if not getattr(self.outputs, "batched", True) and self.max_batch_size > 1:
            raise ValueError("outputs without a batch axis need max_batch_size: 1")
        known = self.kind == "huggingface" or self.model_class or self.variant_of
        if self.task == "detection" and self.outputs is None and not known:
            families = ", ".join(each for each, of in TASK_OF_FAMILY.items() if of == "detection")
            raise ValueError(f"task detection needs outputs with a family: {families}")
        return self

    @property
    def id(self) -> str:
        """The text `NAME/VERSION`."""
        return f"{self.name}/{self.version}"

    @property
    def check_share(self) -> float:
        """The allowed difference from check.npz, as a share of the largest expected output.

        It is 0 in float32. A bfloat16 has 8 bits of precision, and a float16 has 11. Each layer
        rounds, so the bounds are about 12 and 20 times the rounding error of one value.
        """
        return _CHECK_SHARES[self.dtype if self.weights_dtype == "float32" else self.weights_dtype]

    @property
    def buckets(self) -> tuple[int, ...]:
        """The allowed batch sizes, ascending. () means that every size is allowed."""
        if self.batch_buckets is not None:
            return tuple(sorted(set(self.batch_buckets)))
        if not (self.compile or self.cuda_graphs):
            return ()
        powers = [1 << power for power in range(self.max_batch_size.bit_length())]
        return tuple(sorted({*(p for p in powers if p < self.max_batch_size), self.max_batch_size}))

    @property
    def warmup_sizes(self) -> tuple[int, ...]:
        """The batch sizes to run once before jobs use the version."""
        return self.buckets or tuple(sorted({1, self.max_batch_size}))

    def bucket(self, count: int) -> int:
        """Return the size to which a batch of `count` images is filled up."""
        return next((size for size in self.buckets if size >= count), count)


def read_spec(directory: Path) -> ModelSpec:
    """Read `model.yaml` of a version's directory, `.../NAME/VERSION`.

    For kind `huggingface`, its preprocessor_config.json and config.json complete the fields.

    Raises:
        ModelError: it is missing, not valid, or has another name or version than the directory. Or
            it is unknown how a network of kind `huggingface` expects its images.
    """
    name, version = directory.parent.name, directory.name
    path = directory / FILE_NAME
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ModelError(name, version, f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(name, version, f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(name, version, f"{path}: it must be a mapping of names to values")
    try:
        # YAML reads a version of 1 or 1.0 as a number.
        spec = ModelSpec.model_validate({"name": name, "version": version} | _texts(document))
    except ValidationError as error:
        raise ModelError(name, version, f"{path}: {first_problem(error).line()}") from None
    if (spec.name, spec.version) != (name, version):
        raise ModelError(
            name, version, f"{path} is of {spec.id}, in the directory {name}/{version}"
        )
    try:
        return completed(spec, directory) if spec.kind == "huggingface" else spec
    except ValueError as error:
        raise ModelError(name, version, str(error)) from None


def _texts(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its versions as text, if YAML has read them as numbers."""
    found = {name: document[name] for name in ("version", "variant_of") if name in document}
    return document | {
        name: str(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
