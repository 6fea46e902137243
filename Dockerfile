# The demo's image: Python, the wheel with the demo's requirements, nothing else.
# The base is pinned in .env as well; a test holds that both are the same.
ARG PYTHON_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Requirements first: they change less often than the code, and stay in the cache.
# --no-deps, because the lists are complete: nothing is resolved (.ci/install).
COPY requirements/demo.txt requirements/
RUN python -m venv --without-pip /opt/app \
    && pip --python /opt/app/bin/python install \
        --no-deps --only-binary :all: --require-hashes -r requirements/demo.txt
COPY requirements/build.txt requirements/
RUN pip install --no-deps --only-binary :all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY otel_callbacks otel_callbacks
RUN python -m build --wheel --no-isolation --outdir dist \
    && pip --python /opt/app/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/app /opt/app
ENV PATH=/opt/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
# By number: Kubernetes' runAsNonRoot can check no name.
USER 10001:10001
EXPOSE 9464
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
# 0 rounds: for ever.
CMD ["otel-callbacks", "demo", "--rounds", "0", "--keep-serving"]
