# CPU (default):  docker build -t dml-benchmark --build-arg TORCH_CPU_INDEX=ADDRESS .
# CUDA:           docker build -t dml-benchmark:cuda --build-arg DEVICE=cuda .
# Run:            docker run --rm -v "$PWD/results:/work/results" dml-benchmark --defenses all
#                 docker run --rm --gpus all --shm-size 8g -v ... dml-benchmark:cuda --preset paper --device cuda
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

# cuda: torch of pip's own index, whose Linux wheels bring CUDA's libraries; the driver is the host's.
# cpu: torch of TORCH_CPU_INDEX, torch's index of wheels without CUDA (see its installation page); without an address the
# wheels of pip's own index, which run on a CPU too and are some gigabytes larger.
ARG DEVICE=cpu
ARG TORCH_CPU_INDEX=

# libgomp: faiss and scikit-learn load it; a slim image lacks it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/dml-benchmark
COPY pyproject.toml README.md LICENSE run_benchmark.py ./
COPY attacks attacks
COPY benchmark benchmark
COPY defenses defenses

RUN case "$DEVICE" in \
        cpu) if [ -n "$TORCH_CPU_INDEX" ]; then \
                 python -m pip install --no-cache-dir torch torchvision --index-url "$TORCH_CPU_INDEX"; \
             fi ;; \
        cuda) ;; \
        *) echo "DEVICE is '$DEVICE'; it must be cpu or cuda." >&2; exit 2 ;; \
    esac \
    && python -m pip install --no-cache-dir .

RUN useradd --create-home runner && mkdir /work && chown runner /work
USER runner
WORKDIR /work
ENTRYPOINT ["dml-benchmark"]
CMD ["--help"]
