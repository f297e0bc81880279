# The image of all parts of an installation: Prefect servers, workers and the webhook receiver.
#
#   docker build --target cpu  -t cvat-flows:cpu  .     servers, sweeps, detection on the CPU
#   docker build --target cuda -t cvat-flows:cuda .     detection on NVIDIA GPUs
#
# The CUDA libraries come with torch's wheels. The host needs the driver and the NVIDIA container
# toolkit. TORCH_INDEX names a package index with a CPU-only torch. Without it, the cpu image works,
# but is about 3 GB larger.
ARG PYTHON=3.11.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    PREFECT_HOME=/var/lib/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    CVAT_FLOWS_STORAGE=/var/lib/cvat-flows \
    YOLO_CONFIG_DIR=/tmp
RUN useradd --system --create-home --uid 10001 cvatflows \
    && install -d -o cvatflows -g cvatflows /var/lib/prefect /var/lib/cvat-flows
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY aa_functions aa_functions
COPY tasks tasks
COPY flows flows
COPY deployments deployments
# Holds links to the three folders above.
COPY cvat_flows cvat_flows
COPY deployments/docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["cvat-flows", "--help"]

FROM base AS cpu
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install -c constraints.txt --index-url "$TORCH_INDEX" torch torchvision; \
    fi \
    && pip install -c constraints.txt ".[yolo,scale,s3]"
WORKDIR /home/cvatflows
USER cvatflows

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN pip install -c constraints.txt ".[yolo,scale,s3]"
WORKDIR /home/cvatflows
USER cvatflows
