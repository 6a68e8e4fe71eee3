# Parvis, whatever of it is to run: `parvis serve files`, `parvis migrate`, … One image for all services.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /src
RUN python -m venv /opt/parvis
# The lock first: what changes with each commit does not make it installed anew. Every package has to have the hash that the lock names.
COPY requirements.lock ./
RUN /opt/parvis/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY files files
COPY calendar calendar
COPY messaging messaging
COPY billing billing
COPY infra/parvis_suite infra/parvis_suite
RUN /opt/parvis/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --no-index . \
 && /opt/parvis/bin/python -m compileall -q /opt/parvis/lib

FROM ${PYTHON}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin parvis \
 && install -d -o parvis -g parvis -m 700 /data /anchors /matrix-media
COPY --from=build /opt/parvis /opt/parvis
ENV PATH=/opt/parvis/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PARVIS_HOST=0.0.0.0 PARVIS_PORT=8080 PARVIS_METRICS_PORT=9090 PARVIS_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080 9090
ENTRYPOINT ["parvis"]
CMD ["--help"]
