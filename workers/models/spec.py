"""`model.yaml`: what one version of a model is, and how it wants to be run."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agewell.shared.errors import ModelError
from agewell.shared.text.problems import first_problem

FILE_NAME: Final = "model.yaml"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
CODE_PATTERN: Final = r"^(\./[\w-]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_]\w*$"
"""`package.module:name`, importable by the worker; or `./file.py:name`, beside model.yaml."""

Kind = Literal["torch", "exported", "onnx", "huggingface"]
Task = Literal["classification", "image"]
PositiveInt = Annotated[int, Field(gt=0)]
Code = Annotated[str, Field(pattern=CODE_PATTERN)]


class _Document(BaseModel):
    # "model_" is pydantic's own prefix; one of our fields begins with it.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class InputSpec(_Document):
    """How an image becomes a network's input."""

    height: PositiveInt | None = Field(default=None, description="px; unset: any")
    width: PositiveInt | None = Field(default=None, description="px; unset: any")
    fit: Literal["stretch", "crop"] = Field(
        default="stretch", description="to a fixed size: by stretching, or by its centre"
    )
    multiple: PositiveInt = Field(default=1, description="of any size: each side's divisor")
    max_side: PositiveInt = Field(default=2048, description="of any size: the longest side, in px")
    warmup_side: PositiveInt = Field(default=224, description="of any size: what to warm up with")
    colours: Literal["rgb", "bgr", "gray"] = "rgb"
    mean: tuple[float, ...] = Field(default=(0.0,), description="of values 0..1, by channel")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0,), description="likewise")

    @model_validator(mode="after")
    def _both_sides_or_none(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together; leave both out for any size")
        channels = 1 if self.colours == "gray" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{name} has {len(values)} values for {channels} channels")
        return self

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of a fixed size; None for any."""
        if self.height is None or self.width is None:
            return None
        return self.height, self.width


class ModelSpec(_Document):
    """One version of a model, as its model.yaml has it."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    task: Task = Field(description="what it makes of an image: probabilities, or a picture")
    kind: Kind = Field(description="how its network is kept, and what runs it")
    weights: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+$",
        description="a file beside model.yaml: .safetensors, .pt2 or .onnx",
    )
    onnx: str | None = Field(
        default=None,
        pattern=r"^[^/\\]+\.onnx$",
        description="of kind torch: the same network as a graph beside, for where it is faster",
    )
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="of the weights; checked when loading"
    )
    entry: Code | None = Field(default=None, description="of kind torch: a factory of the module")
    entry_options: dict[str, Any] = Field(
        default_factory=dict, description="the factory's keywords"
    )
    model_class: Code | None = Field(
        default=None, description="a subclass of Model; unset: the task's own"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="for such a subclass")
    labels: tuple[str, ...] = ()
    input: InputSpec = InputSpec()

    max_batch_size: PositiveInt = Field(default=16, description="images in one forward pass")
    max_pixels: PositiveInt = Field(
        default=2**23, description="of one forward pass, over all of its images; one always goes"
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = Field(
        default=5.0, description="that an image waits for others to share its pass"
    )
    batch_buckets: tuple[PositiveInt, ...] | None = Field(
        default=None,
        description="the only sizes that a batch may have: filled up to the next one; "
        "unset: any, or powers of two where a size costs (compile, cuda_graphs)",
    )

    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="of the arithmetic, by autocast; input and output: float32"
    )
    check_max_abs: Annotated[float, Field(ge=0)] = Field(
        default=1e-3, description="by which an output may differ from check.npz"
    )
    channels_last: bool = False
    compile: bool = Field(default=False, description="torch.compile")
    cuda_graphs: bool = Field(default=False, description="replay the pass; on CUDA alone")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "torch" and self.entry is None and self.model_class is None:
            raise ValueError("kind torch needs an entry: package.module:factory")
        if self.kind in ("exported", "onnx") and self.weights is None:
            raise ValueError(f"kind {self.kind} needs weights: its file's name")
        suffix = {"torch": ".safetensors", "exported": ".pt2", "onnx": ".onnx"}.get(self.kind)
        if suffix and self.weights and not self.weights.endswith(suffix):
            raise ValueError(f"weights of kind {self.kind} end with {suffix}, never a pickle")
        if self.batch_buckets and max(self.batch_buckets) < self.max_batch_size:
            raise ValueError("the largest of batch_buckets is below max_batch_size")
        return self

    @property
    def id(self) -> str:
        """`name/version`."""
        return f"{self.name}/{self.version}"

    @property
    def buckets(self) -> tuple[int, ...]:
        """The sizes that batches are filled up to, ascending; none: any size as it is."""
        if self.batch_buckets is not None:
            return tuple(sorted(set(self.batch_buckets)))
        if not (self.compile or self.cuda_graphs):
            return ()
        powers = [1 << power for power in range(self.max_batch_size.bit_length())]
        return tuple(sorted({*(p for p in powers if p < self.max_batch_size), self.max_batch_size}))

    @property
    def warmup_sizes(self) -> tuple[int, ...]:
        """The batch sizes to run once before the version serves."""
        return self.buckets or tuple(sorted({1, self.max_batch_size}))

    def bucket(self, count: int) -> int:
        """The size that a batch of so many images is filled up to."""
        return next((size for size in self.buckets if size >= count), count)


def read_spec(directory: Path) -> ModelSpec:
    """Read `model.yaml` of a version's directory, `.../name/version`.

    Raises:
        ModelError: it is missing, no YAML, not valid, or names another model than its directory.
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
        raise ModelError(name, version, f"{path}: no mapping of names to values")
    try:
        # A YAML version of 1 or 1.0 is a number; the directory's name is what counts.
        spec = ModelSpec.model_validate({"name": name, "version": version} | _texts(document))
    except ValidationError as error:
        raise ModelError(name, version, f"{path}: {first_problem(error).line()}") from None
    if (spec.name, spec.version) != (name, version):
        raise ModelError(
            name, version, f"{path} is of {spec.id}, in the directory {name}/{version}"
        )
    return spec


def _texts(document: dict[str, Any]) -> dict[str, Any]:
    """The document, a version that YAML reads as a number made a text again."""
    version = document.get("version")
    if isinstance(version, int | float) and not isinstance(version, bool):
        return document | {"version": str(version)}
    return document
