"""What ``ragstack check`` says of llama.cpp: the build, its devices, what goes onto a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragstack.engine.gguf import Header
from ragstack.engine.kinds import kind_of
from ragstack.engine.memory import Window, layers_that_fit
from ragstack.engine.projector_file import AUTO, choose
from ragstack.engine.tools.workbench import build_info
from ragstack.errors import RagstackError

__all__ = ["engine_report", "engine_text"]

_HOW_TO = "docs/guides/gpu.md says how to build one"
_AMX = "AMX_INT8"
_BROKEN = f"built with {_AMX}, which GCC 12 breaks: docs/guides/troubleshooting.md has the build"
_FLASH = {"auto": "on where the device has it", "on": "on", "off": "off"}
_SHOWN = ("AVX2", "AVX512", "AVX512_VNNI", "AMX_INT8", "NEON", "DOTPROD", "SVE", "MATMUL_INT8")


def engine_report(
    header: Header | None,
    window: Window,
    gpu_layers: int = -1,
    flash_attention: str = "auto",
    projector: str = AUTO,
) -> dict[str, Any]:
    """Return what this llama.cpp is, and how many of a model's layers it would put on a GPU.

    Args:
        header: None where no model is there yet.
        window: As configured.
        gpu_layers: As configured; -1 is all.
        flash_attention: As configured.
        projector: As configured.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ModelError: llama.cpp cannot be started.
    """
    build = build_info()
    gpus = [device for device in build["devices"] if "gpu" in device["kind"]]
    report: dict[str, Any] = {
        **build,
        "gpus": gpus,
        "flash_attention": flash_attention,
        "cache_type": window.cache_type,
        "layers": None,
        "kind": "",
        "off": "",
        "projector": "",
        "no_projector": "",
    }
    if header is not None:
        layers = header.number("block_count") + 1
        wanted = layers if gpu_layers < 0 else min(gpu_layers, layers)
        # Devices whose memory cannot be asked say 0 of 0: then nothing is known against them.
        free = sum(device["free"] for device in gpus)
        known = any(device["total"] for device in gpus)
        fit = layers_that_fit(header, window, free) if known else layers
        usable = wanted if build["gpu_build"] and gpus else 0
        report |= {"layers": layers, "offloaded": usable, "fit": min(fit, usable)}
        kind = kind_of(header)
        report |= {
            "kind": kind.description,
            "off": kind.notice(full_window=window.full_window),
            **_projector(header, projector),
        }
    return report


def engine_text(report: Mapping[str, Any]) -> str:
    """Return a report as lines for a person."""
    features = [name for name in report["features"].get("CPU", ()) if name in _SHOWN]
    parts = [
        f"llama-cpp-python {report['version']}",
        f"{report['cores']} cores ({', '.join(features) or 'no vector features named'})",
    ]
    if _AMX in features:
        parts.append(_BROKEN)
    parts.append(
        f"ragstack's own kernels ({report['own_kernels']})"
        if report["own_kernels"]
        else "kernels as llama.cpp has them: a build by `make` reads prompts quicker"
    )
    if not report["gpu_build"]:
        parts.append(f"no GPU backend in this build: {_HOW_TO}")
    elif not report["gpus"]:
        parts.append("built for a GPU, but none is found: is its driver installed?")
    else:
        parts += [_device(device) for device in report["gpus"]]
        parts.append(_offload(report))
    parts.append(f"flash attention: {_FLASH.get(report['flash_attention'], 'unknown')}")
    parts.append(f"keys and values kept as {report['cache_type']}")
    if report["off"]:
        parts.append(f"the model is {report['off']}")
    parts.append(f"images: {_images(report)}")
    return "; ".join(part for part in parts if part)


def _projector(header: Header, projector: str) -> dict[str, str]:
    """Return which projector the model reads images with, or why with none."""
    try:
        chosen = choose(header.path, projector)
    except RagstackError as error:  # said already, as the generator's own fault
        return {"projector": "", "no_projector": error.message}
    return {
        "projector": chosen.path.name if chosen.path else "",
        "no_projector": chosen.reason,
    }


def _images(report: Mapping[str, Any]) -> str:
    if not report["images"]:
        return "none in this build"
    if report["projector"]:
        return f"read with {report['projector']}"
    return f"this build reads them; {report['no_projector'] or 'no model is there'}"


def _device(device: Mapping[str, Any]) -> str:
    memory = f", {device['free'] / 1e9:,.1f} GB free" if device["total"] else ""
    return f"{device['name']} ({device['description']}{memory})"


def _offload(report: Mapping[str, Any]) -> str:
    if report["layers"] is None:
        return ""
    text = f"{report['offloaded']} of {report['layers']} layers go onto it"
    if report["fit"] < report["offloaded"]:
        text += f", but only {report['fit']} fit: set gpu_layers = {report['fit']}"
    return text
