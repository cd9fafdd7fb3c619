# The image of the service. `docker build -t chaser-callback .`, then see compose.yaml and docs/scaling.md.

FROM docker.io/library/python:3.13-slim AS build
WORKDIR /app
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore 'uv>=0.13,<0.14'
# Compile here: the last stage runs on a read-only file system, and would have to compile again at every start.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
# Dependencies first: while the lock file is unchanged they come from the builder's cache.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY app ./app
COPY widget ./widget
RUN uv sync --frozen --no-dev --no-editable

FROM docker.io/library/python:3.13-slim
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="Chaser Callback" \
      org.opencontainers.image.description="A visitor types a phone number and is called back through Chaser" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
# A numeric user, so that Kubernetes can verify that it isn't root (runAsNonRoot).
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin callback \
    && install -d -o callback -g callback -m 0700 /data
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:////data/callbacks.db
USER 10001:10001
# callback.toml is read from this folder: mount it, or set everything with variables.
WORKDIR /app
VOLUME /data
EXPOSE 8000
# /readyz: whether it can accept requests (/livez: whether the process is alive). http.client is the cheapest client.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
# Without a shell, so that SIGTERM reaches the service, which ends within ten seconds.
ENTRYPOINT ["chaser-callback"]
CMD ["serve", "--host", "0.0.0.0"]
