# The images of docker-compose.yml. Four stages: `llama` compiles llama.cpp once, `build` installs ragstack
# beside it, `chroma` is the official image without root, and `runtime`, the last, is what server and chat are.

ARG PYTHON_IMAGE=python:3.12.14-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254
ARG CHROMA_IMAGE=chromadb/chroma:1.5.9@sha256:1e0b73a187a28757c572acba508c46f48c9e8b0acaf5c20e6d95cdedce1acdf6

# Nothing but the version, the flags and the changes of its kernels goes in: ragstack's own code, and every other
# pin, may change without llama.cpp being compiled again. A test compares the version with constraints.txt.
FROM ${PYTHON_IMAGE} AS llama
ARG LLAMA_CPP_PYTHON=0.3.36
# AVX2, FMA and F16C, which every x86 server of the last ten years has. Flags of your own are compiled alone:
# "-DGGML_NATIVE=ON" runs on processors like the one it was compiled on.
ARG LLAMA_CMAKE_ARGS="-DGGML_NATIVE=OFF"
ARG LLAMA_CPP_ARGS="-DCMAKE_PROJECT_INCLUDE=/kernels/kernels.cmake -DMTMD_VIDEO=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF"
# Debian keeps no old versions to pin; the base image's digest says which release it is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
COPY scripts/llama.cmake /llama.cmake
COPY scripts/kernels /kernels
RUN CMAKE_ARGS="${LLAMA_CPP_ARGS} ${LLAMA_CMAKE_ARGS}" \
    pip wheel --no-cache-dir --no-deps --no-binary llama-cpp-python \
    --wheel-dir /wheels "llama-cpp-python==${LLAMA_CPP_PYTHON}"
# The same for processors with AVX-512 and VNNI, which read twice as fast with it; ragstack takes it where the
# processor has what the folder's name says (ragstack/engine/builds.py).
RUN mkdir /builds \
    && if [ "$(uname -m) ${LLAMA_CMAKE_ARGS}" = "x86_64 -DGGML_NATIVE=OFF" ]; then \
    CMAKE_ARGS="${LLAMA_CPP_ARGS} -DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON" \
    pip wheel --no-cache-dir --no-deps --no-binary llama-cpp-python \
    --wheel-dir /newer "llama-cpp-python==${LLAMA_CPP_PYTHON}" \
    && python -m zipfile -e /newer/*.whl /newer \
    && mv /newer/llama_cpp/lib /builds/avx512f+avx512cd+avx512vl+avx512dq+avx512bw+avx512_vnni \
    && rm -r /newer; fi

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=local,documents,code,chroma,serve,mcp,otel,ui,connectors
ENV PATH=/opt/ragstack/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/ragstack
COPY --from=llama /wheels /wheels
COPY --from=llama /builds /opt/ragstack/lib/llama.cpp
# First what ragstack needs, with empty packages in its place: a change of its code repeats none of this.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p ragstack connectors/ragstack_connectors apps/ragstack_apps evals/ragstack_evals \
    && touch ragstack/__init__.py connectors/ragstack_connectors/__init__.py \
    apps/ragstack_apps/__init__.py evals/ragstack_evals/__init__.py \
    && pip install --no-cache-dir --find-links /wheels --only-binary llama-cpp-python \
    --constraint constraints.txt ".[${EXTRAS}]"
COPY ragstack ragstack
COPY connectors connectors
COPY apps apps
COPY evals evals
RUN pip install --no-cache-dir --no-deps --force-reinstall .

# Chroma's own image runs as root; a volume takes its owner from the folder it is laid over.
FROM ${CHROMA_IMAGE} AS chroma
USER 0:0
RUN mkdir -p /data && chown 10001:10001 /data
USER 10001:10001

FROM ${PYTHON_IMAGE} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 ragstack \
    && useradd --uid 10001 --gid ragstack --no-create-home --home-dir /tmp ragstack \
    && mkdir -p /data /cache \
    && chown ragstack:ragstack /data /cache
COPY --from=build /opt/ragstack /opt/ragstack
ENV PATH=/opt/ragstack/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAGSTACK_BASE=/data \
    RAGSTACK_CACHE=/cache
WORKDIR /data
USER 10001:10001
EXPOSE 8000 8501
CMD ["ragstack", "serve", "--host", "0.0.0.0", "--port", "8000"]
